//! The rules of composite alarms.

use super::AlarmState;

/// A parsed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Constant(bool),
    State(AlarmState, String),
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
}

impl Rule {
    /// Parses `ALARM("a") OR (OK(b) AND NOT INSUFFICIENT_DATA(c))`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text };
        let rule = parser.or()?;
        parser.rest.trim().is_empty().then_some(rule)
    }

    /// Whether it holds, given the states of other alarms.
    pub(super) fn holds(&self, state_of: &impl Fn(&str) -> Option<AlarmState>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::State(wanted, name) => state_of(name) == Some(*wanted),
            Self::Not(inner) => !inner.holds(state_of),
            Self::And(left, right) => left.holds(state_of) && right.holds(state_of),
            Self::Or(left, right) => left.holds(state_of) || right.holds(state_of),
        }
    }

    /// The alarms that it names, in order.
    pub(super) fn children(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::State(_, name) => vec![name],
            Self::Not(inner) => inner.children(),
            Self::And(left, right) | Self::Or(left, right) => {
                let mut names = left.children();
                names.extend(right.children());
                names
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn or(&mut self) -> Option<Rule> {
        let mut left = self.and()?;
        while self.word("OR") {
            left = Rule::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Rule> {
        let mut left = self.not()?;
        while self.word("AND") {
            left = Rule::And(Box::new(left), Box::new(self.not()?));
        }
        Some(left)
    }

    fn not(&mut self) -> Option<Rule> {
        if self.word("NOT") {
            return Some(Rule::Not(Box::new(self.not()?)));
        }
        if self.symbol('(') {
            let inner = self.or()?;
            return self.symbol(')').then_some(inner);
        }
        for (word, value) in [("TRUE", true), ("FALSE", false)] {
            if self.word(word) {
                return Some(Rule::Constant(value));
            }
        }
        let states = [
            AlarmState::Alarm,
            AlarmState::Ok,
            AlarmState::InsufficientData,
        ];
        for state in states {
            if self.word(state.as_str()) {
                return Some(Rule::State(state, self.argument()?));
            }
        }
        None
    }

    /// `(name)`, `("name")` or an ARN; the name alone is kept.
    fn argument(&mut self) -> Option<String> {
        if !self.symbol('(') {
            return None;
        }
        let end = self.rest.find(')')?;
        let (inside, after) = self.rest.split_at(end);
        self.rest = &after[1..];
        let name = inside.trim().trim_matches(['"', '\'']);
        let name = name.rsplit_once(":alarm:").map_or(name, |(_, name)| name);
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn symbol(&mut self, symbol: char) -> bool {
        match self.rest.trim_start().strip_prefix(symbol) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        match self.rest.trim_start().strip_prefix(word) {
            Some(after) if !after.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_as_written() {
        let state_of = |name: &str| match name {
            "a" => Some(AlarmState::Alarm),
            "b" => Some(AlarmState::Ok),
            _ => None,
        };
        let cases = [
            ("ALARM(a)", true),
            ("ALARM(\"b\")", false),
            (
                "ALARM(arn:aws:cloudwatch:us-east-1:111122223333:alarm:a)",
                true,
            ),
            ("ALARM(b) OR OK(b) AND ALARM(a)", true),
            ("NOT (ALARM(a) AND OK(b))", false),
            ("INSUFFICIENT_DATA(a) OR TRUE", true),
            ("ALARM(unknown)", false),
        ];
        for (text, expected) in cases {
            let rule = Rule::parse(text).unwrap();
            assert_eq!(rule.holds(&state_of), expected, "{text}");
        }
        assert_eq!(
            Rule::parse("ALARM(x) OR OK(y)").unwrap().children(),
            ["x", "y"]
        );
    }

    #[test]
    fn broken_rules_are_refused() {
        for text in [
            "",
            "ALARM",
            "ALARM()",
            "ALARM(a",
            "ALARM(a) ALARM(b)",
            "ALARMS(a)",
            "(TRUE",
        ] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }
}
