//! Chat templates render as Transformers' `apply_chat_template` renders them (`reference/dump_templates.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wardsmith_records::conversation::{Conversation, Message};
use wardsmith_tokens::{Limits, Renderer, Result, SpecialToken, SpecialTokens, Template, Tokenizer, train_bpe};

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

/// A tokenizer in whose vocabulary the templates' end tokens stand, with a template.
fn renderer(name: &str) -> Renderer {
    let folder = tempfile::tempdir().unwrap();
    train_bpe(std::iter::repeat_n("A few words, no more.".to_owned(), 4), 300, folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let size = json["model"]["vocab"].as_object().unwrap().len();
    for (i, content) in ["<s>", "</s>", "<|im_start|>", "<|im_end|>"].iter().enumerate() {
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": size + i, "content": content, "special": true, "normalized": false, "single_word": false,
            "lstrip": false, "rstrip": false
        }));
    }
    std::fs::write(&path, json.to_string()).unwrap();
    let template = std::fs::read_to_string(fixtures().join(format!("{name}.jinja"))).unwrap();
    let config = json!({ "bos_token": "<s>", "eos_token": "</s>", "chat_template": template });
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    Renderer::new(Tokenizer::load(folder.path()).unwrap(), Limits::default()).unwrap()
}

/// The loss mask is found without `{% generation %}`; where a template has the mark, both say the same.
#[test]
fn what_is_learned_is_what_the_template_marks_as_the_assistants() {
    let expected = expected();
    let mut seen = 0;
    for case in expected["cases"].as_array().unwrap() {
        let Some(marked) = case["learned"].as_array() else { continue };
        let what = format!("{} {}", case["template"], case["chat"]);
        let marked: String = marked.iter().map(|text| text.as_str().unwrap()).collect();
        let messages = serde_json::from_value(expected["chats"][case["chat"].as_str().unwrap()].clone()).unwrap();
        let renderer = renderer(case["template"].as_str().unwrap());
        let rendered = renderer.render(&Conversation { messages }).unwrap();
        let learned = rendered.ids.iter().zip(&rendered.mask).filter(|(_, learned)| **learned).map(|(id, _)| *id);
        let learned = renderer.tokenizer().decode_with_special(&learned.collect::<Vec<_>>()).unwrap();
        assert_eq!(learned, marked, "{what}");
        let all = renderer.tokenizer().decode_with_special(&rendered.ids).unwrap();
        let text = case["text"].as_str().unwrap();
        assert!(text.starts_with(&all) && text[all.len()..].trim().is_empty(), "{what}: {all}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen}");
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
