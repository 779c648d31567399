//! Chromium without a window, driven by the WebDriver protocol.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::eventually;

/// A browser; it ends with this.
pub struct Browser {
    driver: Child,
    session: String,
}

/// An element of the page, found again each time it is needed.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver; `make setup` installs it");
        let mut lines = BufReader::new(driver.stdout.take().expect("stdout")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()))
            .expect("the driver's port");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1200,900"];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let base = format!("http://127.0.0.1:{port}/session");
        let made = send("POST", &base, Some(&wanted));
        let session = format!("{base}/{}", made["sessionId"].as_str().expect("a session"));
        Browser { driver, session }
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        send("POST", &format!("{}{path}", self.session), Some(body))
    }

    pub fn open(&self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// The value of a script.
    pub fn script(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script gives something true.
    pub fn wait(&self, script: &str) -> Value {
        let mut value = Value::Null;
        let text = || self.script("return document.body.innerText");
        let so = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(script, Duration::from_secs(60), || {
                value = self.script(&format!("return ({script})"));
                value.as_bool() != Some(false) && !value.is_null()
            })
        }));
        assert!(so.is_ok(), "{script} never came true; the page says:\n{}", text());
        value
    }

    fn find(&self, selector: &str) -> String {
        let found = self.command("/element", &json!({"using": "css selector", "value": selector}));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    pub fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.command(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into a field.
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.command(&format!("/element/{element}/clear"), &json!({}));
        self.command(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Keys pressed one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            [json!({"type": "keyDown", "value": key.to_string()}), json!({"type": "keyUp", "value": key.to_string()})]
        });
        let strokes: Vec<Value> = strokes.collect();
        self.command("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}));
    }

    /// Role and name of each element that a selector matches, as a screen reader is told.
    pub fn accessible(&self, selector: &str) -> Vec<(String, String)> {
        // The page may be drawn anew between two questions: then they are asked again.
        let seen = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.seen(selector)));
        (0..4).find_map(|_| seen().ok()).unwrap_or_else(|| self.seen(selector))
    }

    fn seen(&self, selector: &str) -> Vec<(String, String)> {
        let found = self.command("/elements", &json!({"using": "css selector", "value": selector}));
        let elements = found.as_array().expect("elements").iter().filter_map(|element| element[ELEMENT].as_str());
        let told = |element: &str, what: &str| {
            let told = send("GET", &format!("{}/element/{element}/{what}", self.session), None);
            told.as_str().unwrap_or_default().to_owned()
        };
        elements.map(|element| (told(element, "computedrole"), told(element, "computedlabel"))).collect()
    }

    /// `light` or `dark`, and the width of the window.
    pub fn look(&self, scheme: &str, width: u32) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("/goog/cdp/execute", &json!({"cmd": "Emulation.setEmulatedMedia", "params": media}));
        self.command("/window/rect", &json!({"width": width, "height": 900}));
    }

    /// The whole page as an image, in `target/screenshots`.
    pub fn screenshot(&self, name: &str) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let size = self.command("/goog/cdp/execute", &json!({"cmd": "Page.getLayoutMetrics", "params": {}}));
        let area = &size["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": area["width"], "height": area["height"], "scale": 1});
        let params = json!({"captureBeyondViewport": true, "clip": clip});
        let image = self.command("/goog/cdp/execute", &json!({"cmd": "Page.captureScreenshot", "params": params}));
        let image = STANDARD.decode(image["data"].as_str().expect("an image")).expect("base64");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), image).expect("written");
    }

    /// What the page complained of since the last time.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let end = std::panic::AssertUnwindSafe(|| send("DELETE", &self.session, None));
        let _ = std::panic::catch_unwind(end);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn send(method: &str, url: &str, body: Option<&Value>) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let answer = match body {
        Some(body) => {
            agent.run(request.header("content-type", "application/json").body(body.to_string()).expect("a request"))
        }
        None => agent.run(request.body(()).expect("a request")),
    };
    let mut answer: Value =
        answer.expect("the driver answers").body_mut().with_config().limit(1 << 28).read_json().expect("JSON");
    assert!(answer["value"]["error"].is_null(), "{method} {url}: {:#}", answer["value"]);
    answer["value"].take()
}
