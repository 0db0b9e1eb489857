//! Settings of the pages for people.

use super::reader::Reader;
use crate::transport::http::PagesSettings;

/// The longest name of a product, in characters. With a longer one, the link at the top of a page would
/// fill a phone's screen.
const MAX_NAME: usize = 60;

pub(super) fn read(reader: &mut Reader<'_>) -> PagesSettings {
    let back = reader.text("PAGES_BACK_URL");
    let accent = reader.text("PAGES_ACCENT_COLOR");
    PagesSettings {
        name: name(reader),
        back: back.and_then(|text| reader.parsed("PAGES_BACK_URL", text)),
        accent: accent
            .and_then(|text| reader.parsed("PAGES_ACCENT_COLOR", text))
            .unwrap_or_default(),
    }
}

fn name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text("PAGES_NAME")?.trim();
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let problem = format!(
            "PAGES_NAME must have at most {MAX_NAME} characters, and no line breaks or other control \
             characters"
        );
        reader.problem("PAGES_NAME", problem);
    }
    Some(name.to_owned())
}
