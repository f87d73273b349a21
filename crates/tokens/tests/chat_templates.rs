//! Chat templates render as Transformers' `apply_chat_template` renders them (`reference/dump_templates.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use wardsmith_records::conversation::Message;
use wardsmith_tokens::{Result, SpecialToken, SpecialTokens, Template};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/chat")
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap()
}

fn template(name: &Value) -> Template {
    let token = |text: &str, id| Some(SpecialToken { text: text.to_owned(), id });
    let special = SpecialTokens { bos: token("<s>", 0), eos: token("</s>", 1), unk: token("<unk>", 2), pad: None };
    let source = std::fs::read_to_string(fixtures().join(format!("{}.jinja", name.as_str().unwrap()))).unwrap();
    Template::new(&source, &special).unwrap()
}

fn assert_as_expected(rendered: Result<String>, case: &Value) {
    let what = format!("{} {} tools {}", case["template"], case["chat"], case["tools"]);
    match (&case["text"], &case["refused"]) {
        (Value::String(text), _) => assert_eq!(&rendered.unwrap_or_else(|e| panic!("{what}: {e}")), text, "{what}"),
        (_, Value::String(words)) => {
            let error = rendered.expect_err(&what).to_string();
            assert!(error.contains(&format!("`{words}`")), "{what}: {error}");
        }
        _ => panic!("{what} expects nothing"),
    }
}

#[test]
fn every_case_renders_as_in_python() {
    let expected = expected();
    let cases = expected["cases"].as_array().unwrap();
    assert!(cases.len() > 150);
    for case in cases {
        let chat = &expected["chats"][case["chat"].as_str().unwrap()];
        let tools = if case["tools"] == true { &expected["tools"] } else { &Value::Null };
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        assert_as_expected(template(&case["template"]).apply_json(chat, tools, prompt), case);
    }
}

/// Training renders plain messages: the same text, without tools, as their JSON.
#[test]
fn plain_messages_render_as_their_json() {
    let expected = expected();
    let mut seen = 0;
    for case in expected["cases"].as_array().unwrap().iter().filter(|case| case["tools"] == false) {
        let chat = &expected["chats"][case["chat"].as_str().unwrap()];
        let only = |message: &Value| message.as_object().unwrap().keys().all(|key| key == "role" || key == "content");
        let Ok(messages) = serde_json::from_value::<Vec<Message>>(chat.clone()) else { continue };
        if chat.as_array().unwrap().iter().all(only) {
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            assert_as_expected(template(&case["template"]).apply(&messages, prompt), case);
            seen += 1;
        }
    }
    assert!(seen >= 50, "{seen}");
}
