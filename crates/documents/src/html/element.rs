//! What each element of HTML means for the text of a page.
//! tidy: table

use super::token::Tag;

/// What an element does to the text in and around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    Inline,
    /// It stands on its own.
    Block,
    /// The page's own text.
    Main,
    /// A text of its own, often the page's.
    Article,
    /// Of level 1 to 6.
    Heading(u8),
    List,
    Item,
    Table,
    Row,
    Cell,
    Preformatted,
    Break,
    Picture,
    /// Statements about the page, without content.
    Meta,
    /// The whole page; it may state its language.
    Root,
    /// What stands around a text: menus, footers, forms.
    Furniture,
    /// Furniture of a page, but part of an article.
    Header,
    /// Never text.
    Hidden,
    /// Without content, and nothing to see.
    Void,
}

/// Every element of the HTML standard and the obsolete ones that pages still have, sorted by name.
const ELEMENTS: &[(&str, Role)] = &[
    ("a", Role::Inline),
    ("abbr", Role::Inline),
    ("acronym", Role::Inline),
    ("address", Role::Block),
    ("applet", Role::Hidden),
    ("area", Role::Void),
    ("article", Role::Article),
    ("aside", Role::Furniture),
    ("audio", Role::Hidden),
    ("b", Role::Inline),
    ("base", Role::Void),
    ("basefont", Role::Void),
    ("bdi", Role::Inline),
    ("bdo", Role::Inline),
    ("big", Role::Inline),
    ("blockquote", Role::Block),
    ("body", Role::Root),
    ("br", Role::Break),
    ("button", Role::Hidden),
    ("canvas", Role::Hidden),
    ("caption", Role::Block),
    ("center", Role::Block),
    ("cite", Role::Inline),
    ("code", Role::Inline),
    ("col", Role::Void),
    ("colgroup", Role::Inline),
    ("data", Role::Inline),
    ("datalist", Role::Hidden),
    ("dd", Role::Block),
    ("del", Role::Inline),
    ("details", Role::Block),
    ("dfn", Role::Inline),
    ("dialog", Role::Furniture),
    ("dir", Role::List),
    ("div", Role::Block),
    ("dl", Role::Block),
    ("dt", Role::Block),
    ("em", Role::Inline),
    ("embed", Role::Void),
    ("fieldset", Role::Block),
    ("figcaption", Role::Block),
    ("figure", Role::Block),
    ("font", Role::Inline),
    ("footer", Role::Furniture),
    ("form", Role::Furniture),
    ("frame", Role::Void),
    ("frameset", Role::Block),
    ("h1", Role::Heading(1)),
    ("h2", Role::Heading(2)),
    ("h3", Role::Heading(3)),
    ("h4", Role::Heading(4)),
    ("h5", Role::Heading(5)),
    ("h6", Role::Heading(6)),
    ("head", Role::Inline),
    ("header", Role::Header),
    ("hgroup", Role::Block),
    ("hr", Role::Block),
    ("html", Role::Root),
    ("i", Role::Inline),
    ("iframe", Role::Hidden),
    ("img", Role::Picture),
    ("input", Role::Void),
    ("ins", Role::Inline),
    ("kbd", Role::Inline),
    ("label", Role::Inline),
    ("legend", Role::Block),
    ("li", Role::Item),
    ("link", Role::Void),
    ("listing", Role::Preformatted),
    ("main", Role::Main),
    ("map", Role::Inline),
    ("mark", Role::Inline),
    ("marquee", Role::Block),
    ("math", Role::Inline),
    ("menu", Role::List),
    ("meta", Role::Meta),
    ("meter", Role::Inline),
    ("nav", Role::Furniture),
    ("nobr", Role::Inline),
    ("noembed", Role::Hidden),
    ("noframes", Role::Hidden),
    ("noscript", Role::Hidden),
    ("object", Role::Hidden),
    ("ol", Role::List),
    ("optgroup", Role::Hidden),
    ("option", Role::Hidden),
    ("output", Role::Inline),
    ("p", Role::Block),
    ("param", Role::Void),
    ("picture", Role::Inline),
    ("plaintext", Role::Preformatted),
    ("pre", Role::Preformatted),
    ("progress", Role::Inline),
    ("q", Role::Inline),
    ("rp", Role::Inline),
    ("rt", Role::Inline),
    ("ruby", Role::Inline),
    ("s", Role::Inline),
    ("samp", Role::Inline),
    ("script", Role::Hidden),
    ("search", Role::Furniture),
    ("section", Role::Block),
    ("select", Role::Hidden),
    ("slot", Role::Inline),
    ("small", Role::Inline),
    ("source", Role::Void),
    ("span", Role::Inline),
    ("strike", Role::Inline),
    ("strong", Role::Inline),
    ("style", Role::Hidden),
    ("sub", Role::Inline),
    ("summary", Role::Block),
    ("sup", Role::Inline),
    ("svg", Role::Hidden),
    ("table", Role::Table),
    ("tbody", Role::Inline),
    ("td", Role::Cell),
    ("template", Role::Hidden),
    ("textarea", Role::Hidden),
    ("tfoot", Role::Inline),
    ("th", Role::Cell),
    ("thead", Role::Inline),
    ("time", Role::Inline),
    ("title", Role::Hidden),
    ("tr", Role::Row),
    ("track", Role::Void),
    ("tt", Role::Inline),
    ("u", Role::Inline),
    ("ul", Role::List),
    ("var", Role::Inline),
    ("video", Role::Hidden),
    ("wbr", Role::Inline),
    ("xmp", Role::Preformatted),
];

/// No element has a longer name.
const MAX_NAME_BYTES: usize = 10;

/// What an element does, by its name in whatever case; `None` where HTML has no such element.
pub(super) fn role(name: &str) -> Option<Role> {
    let mut lower = [0; MAX_NAME_BYTES];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    let found = ELEMENTS.binary_search_by(|(name, _)| name.as_bytes().cmp(lower));
    found.ok().map(|at| ELEMENTS[at].1)
}

/// Values of `role` that stand around a text.
const FURNITURE_ROLES: &[&str] =
    &["navigation", "banner", "contentinfo", "search", "complementary", "dialog", "alertdialog"];
/// Classes of things beside the text that are marked by nothing else: edit links, line numbers, paths to the page.
const FURNITURE_CLASSES: &[&str] = &[
    "mw-editsection",
    "headerlink",
    "linenos",
    "lineno",
    "line-numbers",
    "gutter",
    "breadcrumb",
    "breadcrumbs",
    "skip-link",
    "skiplink",
];
/// What the names of boxes about cookies and consent have beside those words; pages on cookies have other names.
const BOXES: &[&str] = &["banner", "notice", "popup", "modal", "overlay", "dialog", "toast", "consent", "bar", "law"];

/// Classes by which programs mark what a message quotes.
const QUOTE_CLASSES: &[&str] = &["gmail_quote", "gmail_attr", "moz-cite-prefix", "yahoo_quoted", "protonmail_quote"];

/// Whether a start tag begins what a message quotes.
pub(super) fn is_quote(tag: Tag<'_>) -> bool {
    tag.attributes().any(|(name, value)| match () {
        () if name.eq_ignore_ascii_case("type") => value.eq_ignore_ascii_case("cite"),
        () if name.eq_ignore_ascii_case("class") => {
            value.split_ascii_whitespace().any(|class| QUOTE_CLASSES.contains(&class))
        }
        () => false,
    })
}

/// Whether the attributes of a start tag say that it is not part of the text.
pub(super) fn is_set_aside(tag: Tag<'_>) -> bool {
    tag.attributes().any(|(name, value)| {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("class") || is("id") {
            return value.split_ascii_whitespace().any(is_furniture_name);
        }
        is("hidden")
            || is("data-nosnippet")
            || (is("aria-hidden") && value.eq_ignore_ascii_case("true"))
            || (is("role") && FURNITURE_ROLES.iter().any(|role| role.eq_ignore_ascii_case(value)))
            || (is("style") && is_invisible(value))
    })
}

fn is_furniture_name(name: &str) -> bool {
    if FURNITURE_CLASSES.iter().any(|class| class.eq_ignore_ascii_case(name)) {
        return true;
    }
    // No name of a box is shorter than `cookiebar` or longer than this.
    if !(9..=80).contains(&name.len()) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let about_cookies = ["cookie", "gdpr"].iter().any(|word| name.contains(word));
    let about_consent = name.contains("consent");
    BOXES.iter().any(|part| name.contains(part) && (about_cookies || (about_consent && *part != "consent")))
}

/// Whether a style hides its element.
fn is_invisible(style: &str) -> bool {
    let declarations = style.split(';').filter_map(|declaration| declaration.split_once(':'));
    declarations.into_iter().any(|(property, value)| {
        property.trim().eq_ignore_ascii_case("display") && value.trim().eq_ignore_ascii_case("none")
    })
}

#[cfg(test)]
mod tests {
    use super::super::token::{Token, Tokens};
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_names_fit() {
        assert!(ELEMENTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ELEMENTS.iter().all(|(name, _)| name.len() <= MAX_NAME_BYTES));
        assert_eq!(role("H3"), Some(Role::Heading(3)));
        assert_eq!(role("user"), None);
        assert_eq!(role("a-very-long-element"), None);
    }

    #[test]
    fn boxes_about_cookies_go_and_texts_about_cookies_stay() {
        let is_aside = |page: &str| match Tokens::new(page).next() {
            Some(Token::Start(tag)) => is_set_aside(tag),
            other => panic!("{other:?}"),
        };
        for tag in [
            "<div id='cookie-banner'>",
            "<div class='x CookieConsent'>",
            "<div class=consent-popup>",
            "<div hidden>",
            "<i aria-hidden=true>",
            "<div role=navigation>",
            "<p style='color:red; Display : none'>",
            "<a class=headerlink>",
        ] {
            assert!(is_aside(tag), "{tag}");
        }
        for tag in
            ["<div id='session-cookies'>", "<div class=consent>", "<i aria-hidden=false>", "<p style='display:block'>"]
        {
            assert!(!is_aside(tag), "{tag}");
        }
    }
}
