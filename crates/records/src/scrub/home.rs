//! User names in the paths of home folders, told from routes of web sites.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::before;

static UNIX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"/(hom[e]|User[s])/([A-Za-z0-9][A-Za-z0-9._-]{0,31})(/[^\s"'`<>)]{1,256}| (?:home )?(?:director|folder))"#,
    )
    .expect("a tested expression")
});
static WINDOWS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[A-Za-z]:\\{1,2}(?i:Users|Documents and Settings)\\{1,2}([A-Za-z0-9][A-Za-z0-9._-]{0,31}(?: [A-Z][A-Za-z]{1,20})?)(\\|/)")
        .expect("a tested expression")
});
/// What follows a user's folder and hardly ever a web site's route.
static INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^/(?:\.[a-z]|(?:Desktop|Documents|Downloads|Library|Pictures|Projects|projects?|src|git|work(?:space)?|dev|code|repos?|build|bin|linux|kernel|tmp|go|venv|snap|local|fuzz\w*)\b)|\.(?:c|cc|cpp|cxx|h|hpp|rs|go|java|py|sh|so|o|out|log|txt|conf|cfg|yml|yaml|key|pem|core(?:\.\d+)?|bad)(?::\d+)?$")
        .expect("a tested expression")
});

/// Names of nobody: accounts of images and examples, and what the system has there.
const GENERIC: &[&str] = &[
    "user",
    "users",
    "username",
    "user1",
    "user2",
    "name",
    "admin",
    "administrator",
    "root",
    "node",
    "kali",
    "ubuntu",
    "debian",
    "centos",
    "fedora",
    "ec2-user",
    "azureuser",
    "vagrant",
    "pi",
    "test",
    "tester",
    "foo",
    "bar",
    "www",
    "guest",
    "public",
    "default",
    "app",
    "git",
    "build",
    "builder",
    "runner",
    "jenkins",
    "postgres",
    "mysql",
    "oracle",
    "docker",
    "nobody",
    "victim",
    "attacker",
    "alice",
    "bob",
    "all",
    "shared",
    "me",
    "you",
    "john",
    "johndoe",
    "example",
    "student",
    "travis",
    "circleci",
    "demo",
    "steam",
    "httpd",
];

/// The user part of paths.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    for captures in UNIX.captures_iter(text) {
        let (Some(name), Some(rest)) = (captures.get(2), captures.get(3)) else { continue };
        let is_root = before(text, captures.get_match().start())
            .is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '}' | '_' | '-' | '>' | '~'));
        if is_root
            && !is_generic(name.as_str())
            && (rest.as_str().starts_with(' ') || INSIDE.is_match(trimmed(rest.as_str())))
        {
            found.push(name.range());
        }
    }
    let names = WINDOWS.captures_iter(text).filter_map(|captures| captures.get(1));
    found.extend(names.filter(|name| !is_generic(name.as_str())).map(|name| name.range()));
    found.sort_by_key(|range| range.start);
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches(['.', ',', ':', ';', ']'])
}

fn is_generic(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    GENERIC.contains(&lower.as_str()) || lower == "all users" || lower == "default user"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn users_of_folders_are_found_and_routes_are_not() {
        let home = ["/hom", "e"].concat();
        assert_eq!(names(&format!("at {home}/ewatts/work/a.c:12, the {home}/anand directory")), ["ewatts", "anand"]);
        assert!(
            names(&format!("{home}/job/index {home}/user/.ssh/x a.com{home}/bo/src/a.c {home}/x/y.php")).is_empty()
        );
        let users = ["C:\\Use", "rs"].concat();
        assert_eq!(names(&format!("{users}\\Jo Kent\\a {users}\\Public\\b")), ["Jo Kent"]);
    }
}
