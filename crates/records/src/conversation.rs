//! The one currency between tasks and tokens: messages with roles.
//!
//! [`crate::task`] makes conversations; the tokens crate is the only place that turns them into prompt text.

use serde::{Deserialize, Serialize};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The one who asks.
    User,
    /// The one who answers; what it says is what a model learns to say.
    Assistant,
    /// One plain text outside any template, every token of it learned (pretraining).
    Document,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Turns in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    /// The turns, first to last.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// One question and its answer.
    #[must_use]
    pub fn question(question: impl Into<String>, answer: impl Into<String>) -> Self {
        let message = |role, content| Message { role, content };
        Self { messages: vec![message(Role::User, question.into()), message(Role::Assistant, answer.into())] }
    }

    /// One plain text.
    #[must_use]
    pub fn document(text: impl Into<String>) -> Self {
        Self { messages: vec![Message { role: Role::Document, content: text.into() }] }
    }

    /// What the first message of `role` says, if there is one.
    #[must_use]
    pub fn text_of(&self, role: Role) -> Option<&str> {
        self.messages.iter().find(|message| message.role == role).map(|message| message.content.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_written_as_a_list_of_messages() {
        let json = serde_json::to_string(&Conversation::question("why?", "because")).unwrap();
        assert_eq!(json, r#"[{"role":"user","content":"why?"},{"role":"assistant","content":"because"}]"#);
        let back: Conversation = serde_json::from_str(&json).unwrap();
        assert_eq!(back.text_of(Role::Assistant), Some("because"));
        assert_eq!(back.text_of(Role::Document), None);
    }

    #[test]
    fn a_document_is_one_message() {
        let document = Conversation::document("plain");
        assert_eq!(document.messages.len(), 1);
        assert_eq!(document.text_of(Role::Document), Some("plain"));
    }
}
