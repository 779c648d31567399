"""Prints docs/errors.md: every code that a job, an answer, an objection or a warning can have, as the sources have them.

    error_catalogue.py ROOT
"""

import pathlib
import re
import sys

src = pathlib.Path(sys.argv[1]) / "src"
KINDS = {"Invalid": "you", "Unsupported": "nobody, in this version", "Environment": "the operator; trying again may help",
         "Cancelled": "nobody: it was asked for"}


def words(comment):
    """The text of a doc comment, with links to items as code."""
    text = " ".join(line.strip().removeprefix("///").strip() for line in comment.strip().splitlines())
    return re.sub(r"\[(`[^`]+`)\]", r"\1", text).replace("|", "\\|")


def body(text, start):
    """What stands between the braces that open at or after a place."""
    at = text.index("{", start)
    depth, end = 0, at
    while True:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1 : end]
        end += 1


def variants(text, name):
    """Doc comments of an enum's variants."""
    inner = body(text, text.index(f"enum {name}"))
    found, depth, comment = {}, 0, ""
    for line in inner.splitlines():
        stripped = line.strip()
        if depth == 0 and stripped.startswith("///"):
            comment += stripped + "\n"
        elif depth == 0 and (match := re.match(r"([A-Z]\w*)", stripped)):
            found[match[1]], comment = words(comment), ""
        depth += sum(line.count(c) for c in "{([") - sum(line.count(c) for c in "})]")
    return found


def arms(text, name, function):
    """Variant → the expression of its arm in a match."""
    match = re.search(rf"impl Fault for {name} \{{", text)
    inner = body(text, match.start())
    at = inner.find(f"fn {function}(")
    if at < 0:
        return {}
    inner = body(inner, at)
    found = {}
    for pattern, value in re.findall(r"((?:\|?\s*\w+::\w+\s*(?:\{[^}]*\}|\([^)]*\))?\s*)+)=>\s*(\{[^}]*\}|[^,]*)", inner):
        for variant in re.findall(r"\w+::(\w+)", pattern):
            found.setdefault(variant, value)
    return found


def table(title, head, rows):
    print(f"\n## {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print("| " + " | ".join(row) + " |")


failures = {}
for path in sorted(src.rglob("*.rs")):
    text = path.read_text().split("#[cfg(test)]")[0]
    for name in re.findall(r"impl Fault for (\w+) \{", text):
        if f"enum {name}" not in text:
            continue
        docs, kinds = variants(text, name), arms(text, name, "kind")
        everything = re.search(r"fn kind\(&self\) -> FaultKind \{\s*FaultKind::(\w+)", text)
        for variant, code in arms(text, name, "code").items():
            if match := re.fullmatch(r'"(\w+)"', code.strip()):
                kind = re.search(r"FaultKind::(\w+)", kinds.get(variant, ""))
                kind = (kind or everything)[1] if (kind or everything) else "Invalid"
                failures.setdefault(match[1], []).append((docs[variant], kind))
    for code, kind in re.findall(r'Failure::plain\(\s*"(\w+)",[^;]*?(true|false)\)', text):
        failures.setdefault(code, []).append(("", "Environment" if kind == "true" else "Invalid"))
PLAIN = {
    "timed_out": "The job ran longer than its limit.",
    "worker_lost": "The job lost its worker in each of its attempts.",
    "internal_error": "An error of ours; the server's log has more.",
    "scratch_unusable": "The scratch folder cannot be used.",
    "disk_full": "A disk, or a quota, is full.",
    "digest_mismatch": "An upload does not have the SHA-256 that was promised.",
    "invalid_digest": "The digest of an upload cannot be read.",
    "empty_upload": "An upload has no bytes.",
    "invalid_name": "An upload has a name that no file should have.",
    "plan_unavailable": "The plan could not be made at the moment.",
}
failures.setdefault("worker_lost", [("", "Environment")])

print("# Errors, objections, reasons and warnings")
print("\nGenerated from the sources by `tests/tools/error_catalogue.py`; a test fails when this page is stale. Codes are stable:")
print("programs may rely on them, and sentences may change.")
rows = []
for code, origins in sorted(failures.items()):
    texts = list(dict.fromkeys(text for text, _ in origins if text)) or [PLAIN[code]]
    rows.append((f"`{code}`", " ".join(texts), KINDS[origins[0][1]]))
table("Why a job fails", ["`error.code`", "what", "who can mend it"], rows)

error = (src / "api/error.rs").read_text()
docs = variants(error, "ApiError")
row = re.findall(r"ApiError::(\w+)(?:\([^)]*\)|\s*\{[^}]*\})?[^=]*=>\s*\{?\s*Row\(StatusCode::(\w+), \"(\w+)\"", error)
table("Answers that are problems", ["`code`", "status", "what"],
      sorted({(f"`{code}`", status.replace("_", " ").lower(), docs[variant]) for variant, status, code in row}))

for title, file, name in [("Objections to a request", "spec/objection.rs", "ObjectionCode"),
                          ("Why a layer stays native", "spec/reason.rs", "Reason")]:
    entries = variants((src / file).read_text(), name).items()
    snake = [(re.sub(r"(?<!^)(?=[A-Z])", "_", variant).lower(), text) for variant, text in entries]
    table(title, ["code", "what"], sorted((f"`{code}`", text) for code, text in snake))

warnings = set()
for path in src.rglob("*.rs"):
    text = path.read_text().split("#[cfg(test)]")[0]
    warnings |= set(re.findall(r'(?:\.warn\(|Warning::new\()\s*"(\w+)"', text))
    warnings |= set(re.findall(r'Warning::at\(\s*[^,]*,\s*"(\w+)"', text))
print("\n## Warnings\n\nThings that were accepted and that you should know of; each comes with its sentence.\n")
print(", ".join(f"`{code}`" for code in sorted(warnings)) + ".")
