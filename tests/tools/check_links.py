"""Whether what the documents refer to is there: check_links.py ROOT.

Every relative link and anchor of the Markdown files, and every name of a file of this repository that they, the packaging or the
Makefile mention.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1]).resolve()
SKIPPED = {"target", ".git", ".tools", "node_modules"}
# Folders of this repository: what is named below one of them is a file of it.
TOP = "src|tests|docs|deploy|migrations|openapi"
wrong = []


def say(condition, path, message):
    if not condition:
        wrong.append(f"{path.relative_to(root)}: {message}")


def prose(text):
    """The text without its code blocks."""
    return re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?)\s*#*$", prose(path.read_text()), re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def files(*patterns):
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not SKIPPED & set(path.relative_to(root).parts))


pages = files("**/*.md")
for page in pages:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        say(target.exists(), page, f"the link {link} leads nowhere")
        if anchor and target.suffix == ".md" and target.exists():
            say(anchor in anchors(target), page, f"{name or page.name} has no heading for #{anchor}")

named = re.compile(rf"(?<![\w./-])((?:{TOP})/[\w./-]*[\w/]|\.ci/\w+|(?:README|CONTRIBUTING|CHANGELOG)\.md)")
for path in pages + files("deploy/**/*", "Makefile", "Dockerfile", "docker-compose.yml", "*.toml", ".ci/*"):
    for name in named.findall(path.read_text()):
        say((root / name).exists(), path, f"there is no {name}")

# In the map a file is named within its room; in a table of rooms, as a row.
for path in files("docs/architecture.md"):
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.rs)`", path.read_text()):
        say((root / "src" / name).exists() or (root / name).exists(), path, f"there is no src/{name}")

if wrong:
    sys.exit("\n".join(wrong))
