//! Phone numbers of people: one form, that of E.164 with a plus sign.

/// Fewest and most digits of a number with its country code (ITU-T E.164, 6.2.1; the shortest in use has 7).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// What people put between digits, beside blanks.
const SEPARATORS: &str = "-.()（）\u{2010}\u{2011}";
/// Digits of a mobile number of China, which begins with 1; other numbers of China have fewer.
const MOBILE_DIGITS: usize = 11;
/// The country code of China.
const CHINA: &str = "86";

/// A phone number in E.164: `+8613800000001`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    /// Reads what people type: 138 0000 0001, +86 138-0000-0001, 0086…; nothing if it is no phone number.
    pub fn parse(text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(|c| !(c.is_whitespace() || SEPARATORS.contains(*c))).collect();
        let is_mobile = |digits: &str| digits.len() == MOBILE_DIGITS && digits.starts_with('1');
        let (has_country, digits) = match (plain.strip_prefix('+'), plain.strip_prefix("00")) {
            (Some(digits), _) | (None, Some(digits)) => (true, digits),
            (None, None) => (false, plain.as_str()),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if has_country {
            let is_good = DIGITS.contains(&digits.len()) && !digits.starts_with('0');
            let is_of_china = |rest: &str| is_mobile(rest) || rest.len() < MOBILE_DIGITS && !rest.starts_with('1');
            return (is_good && digits.strip_prefix(CHINA).is_none_or(is_of_china)).then(|| Self(format!("+{digits}")));
        }
        match digits.strip_prefix(CHINA).filter(|rest| is_mobile(rest)) {
            Some(_) => Some(Self(format!("+{digits}"))),
            None => is_mobile(digits).then(|| Self(format!("+86{digits}"))),
        }
    }

    /// In E.164.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_however_it_is_typed() {
        for typed in
            ["13800000001", "138 0000 0001", "+86 138-0000-0001", "008613800000001", " (138)00000001 ", "8613800000001"]
        {
            assert_eq!(Phone::parse(typed).unwrap().as_str(), "+8613800000001", "{typed}");
        }
        assert_eq!(Phone::parse("+44 20 7946 0000").unwrap().as_str(), "+442079460000");
        for wrong in [
            "",
            "owner",
            "1380000000",
            "138000000012",
            "+0138000000",
            "+86138000000011234",
            "+861380000000",
            "1380000000x",
            "23800000001",
            "+",
        ] {
            assert_eq!(Phone::parse(wrong), None, "{wrong}");
        }
    }
}
