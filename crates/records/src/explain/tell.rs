//! An explanation as text.

use std::fmt::{self, Display};

use super::{Explanation, Heard, Joined, PRIVATE, Shown, Stands, TaskMade};
use crate::conversation::Role;

/// Longer texts are cut here.
const MOST_CHARS: usize = 1500;

impl Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.id)?;
        if self.private {
            writeln!(out, "It is of private sources alone: it may teach, and its texts are not shown.")?;
        }
        writeln!(out, "\nWhat the sources say")?;
        self.said.iter().try_for_each(|one| one.fmt(out))?;
        if let Some(joined) = &self.joined {
            joined.fmt(out)?;
        }
        if !self.steps.is_empty() {
            writeln!(out, "\nCleaning")?;
        }
        for step in &self.steps {
            writeln!(out, "  {}: {}", step.done, step.outcome)?;
        }
        if let Some(stands) = &self.stands {
            stands.fmt(out)?;
        }
        if !self.told_of_by.is_empty() {
            writeln!(out, "\nDocuments that tell of it\n  {}", self.told_of_by.join("\n  "))?;
        }
        writeln!(out, "\nExamples")?;
        self.tasks.iter().try_for_each(|one| one.fmt(out))
    }
}

/// `text` indented by `by` blanks, and cut where it is long.
fn indented(out: &mut fmt::Formatter<'_>, by: usize, text: &str) -> fmt::Result {
    let cut = text.char_indices().nth(MOST_CHARS).map_or(text.len(), |(at, _)| at);
    for line in text[..cut].lines() {
        writeln!(out, "{:by$}{line}", "")?;
    }
    if cut < text.len() {
        writeln!(out, "{:by$}… ({} bytes in all)", "", text.len())?;
    }
    Ok(())
}

impl Display for Heard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  {} ({}): {}", self.source, self.kind, self.outcome)?;
        if let Some(published) = &self.published {
            writeln!(out, "    published: {published}")?;
        }
        if let Some(modified) = self.modified {
            writeln!(out, "    modified: {modified}")?;
        }
        self.labels.iter().try_for_each(|label| writeln!(out, "    {label}"))?;
        indented(out, 4, &self.text)
    }
}

impl Display for Joined {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nJoined, of {}", self.sources.join(", "))?;
        writeln!(out, "  published: {}", self.published)?;
        self.labels.iter().try_for_each(|label| writeln!(out, "  {label}"))?;
        match self.decided.as_slice() {
            [] => writeln!(out, "  weakness by the recipe's policy: none")?,
            decided => {
                let each: Vec<String> = decided.iter().map(|(id, weight)| format!("{id} (weight {weight})")).collect();
                writeln!(out, "  weakness by the recipe's policy: {}", each.join(", else "))?;
            }
        }
        indented(out, 2, &self.description)
    }
}

impl Display for Stands {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.split, self.why_nowhere) {
            (Some(split), _) => writeln!(out, "\nPlace: {split}")?,
            (None, why) => writeln!(out, "\nPlace: in no split, as {}", why.unwrap_or("it was left out"))?,
        }
        match self.group_size {
            1 => writeln!(out, "  group {}: it alone", self.group),
            size => writeln!(out, "  group {}: {size} members, among them {}", self.group, self.others.join(", ")),
        }
    }
}

impl Display for TaskMade {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.problem, self.examples.len()) {
            (Some(problem), _) => writeln!(out, "  {}: none; {}", self.task, problem.replace('\n', "; "))?,
            (None, 0) => writeln!(out, "  {}: none", self.task)?,
            (None, 1) => writeln!(out, "  {}: 1 example", self.task)?,
            (None, count) => writeln!(out, "  {}: {count} examples", self.task)?,
        }
        if self.label_of > 0 {
            writeln!(out, "    the label of {} other examples", self.label_of)?;
        }
        self.examples.iter().try_for_each(|one| one.fmt(out))
    }
}

impl Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gold = self.gold.as_deref().map_or_else(String::new, |gold| format!(", label {gold}"));
        writeln!(out, "    {} in {}{gold}, weight {}", self.id, self.split, self.weight)?;
        let Some(conversation) = &self.conversation else {
            return writeln!(out, "      {PRIVATE}");
        };
        for message in &conversation.messages {
            let who = match message.role {
                Role::System => "system",
                Role::User => "question",
                Role::Assistant => "answer",
                Role::Document => "text",
            };
            writeln!(out, "      {who}:")?;
            indented(out, 8, &message.content)?;
        }
        Ok(())
    }
}
