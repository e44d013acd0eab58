//! Countries: ISO 3166-1 codes and English names.
//!
//! Refuses: guessing. A text that is neither a code nor a name is no country.

/// Everyday English names where ISO's own is one that nobody writes; they are shown in place of ISO's.
const EVERYDAY: &[(&str, &str)] = &[
    ("BO", "Bolivia"),
    ("BN", "Brunei"),
    ("CD", "DR Congo"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("GB", "United Kingdom"),
    ("IR", "Iran"),
    ("KP", "North Korea"),
    ("KR", "South Korea"),
    ("LA", "Laos"),
    ("MD", "Moldova"),
    ("MF", "Saint Martin"),
    ("NL", "Netherlands"),
    ("PS", "Palestine"),
    ("RU", "Russia"),
    ("SX", "Sint Maarten"),
    ("SY", "Syria"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("US", "United States"),
    ("VA", "Vatican City"),
    ("VE", "Venezuela"),
    ("VG", "British Virgin Islands"),
    ("VI", "U.S. Virgin Islands"),
    ("VN", "Vietnam"),
];

/// Further spellings that senders use.
const ALIASES: &[(&str, &str)] = &[
    ("CI", "Cote d'Ivoire"),
    ("CI", "Ivory Coast"),
    ("CV", "Cape Verde"),
    ("CW", "Curacao"),
    ("CZ", "Czech Republic"),
    ("AX", "Aland Islands"),
    ("BL", "Saint Barthelemy"),
    ("GB", "England"),
    ("GB", "Great Britain"),
    ("GB", "Scotland"),
    ("GB", "UK"),
    ("GB", "Wales"),
    ("KR", "Korea"),
    ("MK", "Macedonia"),
    ("MM", "Burma"),
    ("MO", "Macau"),
    ("NL", "Holland"),
    ("NL", "The Netherlands"),
    ("RE", "Reunion"),
    ("SZ", "Swaziland"),
    ("TL", "East Timor"),
    ("TR", "Turkey"),
    ("TR", "Turkiye"),
    ("US", "America"),
    ("US", "U.S."),
    ("US", "U.S.A."),
    ("US", "United States (USA)"),
];

/// The longest text that can be a country's name; longer ones are not compared.
const NAME_MAX: usize = 80;

/// The ISO alpha-2 code that `text` means: an alpha-2 or alpha-3 code or an English name, in any case.
pub fn country_code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if NAME_MAX < text.len() {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    match upper.len() {
        2 => rust_iso3166::from_alpha2(&upper).map(|c| c.alpha2).or_else(|| named(text)),
        3 => rust_iso3166::from_alpha3(&upper).map(|c| c.alpha2).or_else(|| named(text)),
        _ => named(text),
    }
}

/// The English name of the country with this alpha-2 code, in any case.
pub fn country_name(alpha2: &str) -> Option<&'static str> {
    if alpha2.len() != 2 {
        return None;
    }
    let country = rust_iso3166::from_alpha2(&alpha2.to_ascii_uppercase())?;
    Some(EVERYDAY.iter().find(|(code, _)| *code == country.alpha2).map_or(country.name, |(_, name)| name))
}

fn named(text: &str) -> Option<&'static str> {
    let wanted = text.to_lowercase();
    let known = EVERYDAY.iter().chain(ALIASES).find(|(_, name)| name.to_lowercase() == wanted).map(|(code, _)| *code);
    known.or_else(|| rust_iso3166::ALL.iter().find(|c| c.name.to_lowercase() == wanted).map(|c| c.alpha2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_written_in_many_ways() {
        for (text, code) in [
            ("fi", Some("FI")),
            (" FIN ", Some("FI")),
            ("Finland", Some("FI")),
            ("finland", Some("FI")),
            ("UK", Some("GB")),
            ("United States of America", Some("US")),
            ("united states", Some("US")),
            ("ÅLAND ISLANDS", Some("AX")),
            ("NO", Some("NO")),
            ("Atlantis", None),
            ("XX", None),
            ("", None),
        ] {
            assert_eq!(country_code(text), code, "{text}");
        }
        assert_eq!(country_name("FI"), Some("Finland"));
        assert_eq!(country_name("us"), Some("United States"));
        assert_eq!(country_name("zz"), None);
        assert_eq!(country_name("日本"), None);
    }

    #[test]
    fn every_country_is_found_by_all_its_spellings() {
        for country in rust_iso3166::ALL {
            for text in [country.alpha2, country.alpha3, country.name, country_name(country.alpha2).unwrap()] {
                assert_eq!(country_code(text), Some(country.alpha2), "{text}");
            }
        }
        for (code, name) in EVERYDAY.iter().chain(ALIASES) {
            assert_eq!(country_code(name), Some(*code), "{name}");
        }
    }
}
