//! The web page in a real browser: a job from the form to its report, errors, keys, keyboard, screen reader, dark and narrow.

use serde_json::json;

use crate::support::{Browser, Server, fixture, uri};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[test]
fn a_job_is_submitted_and_followed_to_its_report() {
    let server = Server::start();
    let browser = Browser::start();
    browser.open(&server.client.url);
    browser.wait("document.querySelector('main').innerText.includes('There is no job yet')");
    browser.screenshot("empty");

    // By keyboard alone: past the link to the content, the name and "Jobs", to "New job".
    browser.press(&TAB.repeat(4));
    assert_eq!(browser.script("return document.activeElement.innerText"), "New job");
    browser.press(ENTER);
    browser.wait("document.querySelector('h1')?.innerText === 'New job'");
    // Every field has a name for a screen reader.
    let mut fields = browser.accessible("input, select, textarea, button");
    // What is hidden has no role.
    fields.retain(|(role, _)| role != "none");
    assert!(fields.len() >= 12);
    for (role, name) in &fields {
        assert!(!name.is_empty(), "a {role} without a name: {fields:?}");
    }

    // An error says what to do, next to the field it is about.
    browser.fill("[name=model]", "ftp://example.com/model.onnx");
    browser.click("button[value=plan]");
    let told = browser.wait("document.querySelector('.problem')?.innerText");
    let told = told.as_str().unwrap();
    assert!(told.contains("/model/uri") && told.contains("What to do") && told.contains("file"), "{told}");
    browser.screenshot("error");

    browser.fill("[name=model]", &uri(&fixture("convnet.onnx")));
    browser.fill("[name=name]", "digits");
    browser.fill("[name=calibration]", &uri(&fixture("calibration.npz")));
    browser.fill("[name=evaluation]", &uri(&fixture("evaluation.npz")));
    browser.fill("[name=labels]", "y");
    browser.script("const a = document.querySelector('[name=algorithm]'); a.value = 'entropy'");
    browser.click("button[value=plan]");
    let dry = browser.wait("document.querySelector('[aria-label=\"Dry run\"]')?.innerText");
    assert!(dry.as_str().unwrap().contains("8 of 17 layers quantized"), "{dry}");
    browser.screenshot("form");
    browser.click("button[value=submit]");
    browser.wait("document.querySelector('.badge.succeeded') !== null && document.querySelectorAll('#result figure').length >= 4");
    let text = browser.script("return document.querySelector('main').innerText");
    for part in ["digits", "Output SQNR", "Top-1", "Layers by SQNR", "Sensitivity", "model.onnx", "manifest.json"] {
        assert!(text.as_str().unwrap().contains(part), "{part} is not in {text}");
    }
    // Plots are images with their figures in words.
    let plots = browser.accessible("svg");
    assert!(plots.len() >= 4);
    for (role, name) in &plots {
        assert!(["image", "img"].contains(&role.as_str()) && name.len() > 20, "{role} {name}");
    }
    assert!(plots.iter().any(|(_, name)| name.contains("range chosen up to") && name.contains("entropy")));
    browser.screenshot("report");
    browser.look("dark", 1200);
    browser.screenshot("report-dark");
    let back = browser.script("return getComputedStyle(document.body).backgroundColor");
    assert_eq!(back, "rgb(13, 17, 23)");
    browser.look("light", 500);
    assert_eq!(browser.script("return document.documentElement.scrollWidth <= innerWidth"), true, "nothing sticks out");
    browser.screenshot("report-narrow");
    browser.look("light", 1200);

    // The file behind the link is the one that the API gives.
    let size = browser.script(
        "const x = new XMLHttpRequest(); x.open('GET', document.querySelector('a[download=\"model.onnx\"]').href, false); \
         x.overrideMimeType('text/plain; charset=x-user-defined'); x.send(); return x.responseText.length",
    );
    let job = &server.client.json("/v1/jobs")["jobs"][0];
    assert_eq!(size, job["result"]["artifacts"][0]["size"]);

    browser.click("nav a");
    browser.wait("document.querySelector('tbody a')?.innerText === 'digits'");
    browser.screenshot("list");
    // The one complaint is the request that was refused on purpose.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|complaint| complaint.contains("/v1/plans")), "{complaints:?}");
}

#[test]
fn a_running_job_is_watched_and_cancelled() {
    let server = Server::start();
    let browser = Browser::start();
    let id = server.client.submit(&crate::support::long_job(server.folder.path()));
    browser.open(&format!("{}/#/jobs/{id}", server.client.url));
    browser.wait("document.querySelector('#bar')?.value > 0");
    assert_eq!(browser.accessible("#bar")[0].0, "progressbar");
    browser.screenshot("running");
    browser.click(".actions button");
    browser.wait("document.querySelector('.badge.cancelled') !== null");
    assert_eq!(server.client.json(&format!("/v1/jobs/{id}"))["status"], "cancelled");
    // Told to a screen reader as well.
    browser.wait("document.querySelector('#status').innerText === 'Status: cancelled.'");
    browser.screenshot("cancelled");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_failed_job_says_what_to_do_and_texts_are_never_markup() {
    let server = Server::start();
    let browser = Browser::start();
    let name = "<img src=x onerror=\"document.title='broken into'\">";
    let job = json!({"name": name, "model": {"uri": uri(&server.folder.path().join("missing.onnx"))},
        "labels": {"<b>": "</td>"},
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}});
    let id = server.client.submit(&job);
    server.client.wait(&id);
    browser.open(&format!("{}/#/jobs/{id}", server.client.url));
    let told = browser.wait("document.querySelector('.problem')?.innerText");
    assert!(told.as_str().unwrap().contains("What to do"), "{told}");
    assert_eq!(browser.script("return document.querySelector('h1').innerText"), name);
    browser.screenshot("failed");
    browser.click("nav a");
    browser.wait("document.querySelector('tbody a') !== null");
    assert_eq!(browser.script("return document.querySelectorAll('img').length"), 0);
    browser.open(&format!("{}/docs/", server.client.url));
    browser.wait("document.querySelectorAll('.opblock').length > 15");
    browser.screenshot("docs");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
