//! Comparisons: `tcp[tcpflags] & tcp-syn != 0`, `len > 1000`.

use super::super::expr::{Base, Node, Operation, Over, Relation, Test, Value};
use super::super::names;
use super::{DEEPEST, Parsed, Parser, number};

impl Parser<'_> {
    /// Whether what stands here is arithmetic.
    pub(super) fn is_comparison(&self) -> bool {
        let rest = self.rest();
        let is_operator = |s: &str| {
            let s = s.trim_start();
            !s.starts_with("&&")
                && !s.starts_with("||")
                && (s.starts_with(['<', '>', '=', '&', '|', '^', '+', '*', '%', '-', '/']) || s.starts_with("!="))
        };
        if rest.starts_with('(') {
            let mut deep = 0usize;
            for (at, c) in rest.char_indices() {
                deep = match c {
                    '(' => deep + 1,
                    ')' => deep - 1,
                    _ => deep,
                };
                if deep == 0 {
                    return is_operator(rest.get(at + 1..).unwrap_or(""));
                }
            }
            return false;
        }
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(name);
        if name.is_empty() {
            return false;
        }
        behind.trim_start().starts_with('[')
            || (name.eq_ignore_ascii_case("len") || number(name).is_some())
                && is_operator(behind)
                && !behind.starts_with(['-', '/'])
    }

    pub(super) fn comparison(&mut self) -> Parsed<Node> {
        let left = self.value(0)?;
        let relations = [
            ("<=", Relation::LessOrEqual),
            (">=", Relation::GreaterOrEqual),
            ("==", Relation::Equal),
            ("!=", Relation::NotEqual),
            ("<", Relation::Less),
            (">", Relation::Greater),
            ("=", Relation::Equal),
        ];
        for (symbol, relation) in relations {
            if self.take_symbol(symbol) {
                let right = self.value(0)?;
                return Ok(Node::Test(Test::Compare(left, relation, right)));
            }
        }
        Err(self.wrong(self.at, "expected a comparison: =, !=, <, <=, > or >=".into()))
    }

    /// Operators that bind at least as strongly as `least`; the order is that of C.
    fn value(&mut self, least: u8) -> Parsed<Value> {
        const OPERATIONS: [(&str, Operation, u8); 10] = [
            ("<<", Operation::Left, 3),
            (">>", Operation::Right, 3),
            ("|", Operation::Or, 0),
            ("^", Operation::Xor, 1),
            ("&", Operation::And, 2),
            ("+", Operation::Add, 4),
            ("-", Operation::Subtract, 4),
            ("*", Operation::Multiply, 5),
            ("/", Operation::Divide, 5),
            ("%", Operation::Remainder, 5),
        ];
        let mut left = self.operand()?;
        loop {
            let rest = self.rest();
            if rest.starts_with("&&") || rest.starts_with("||") {
                return Ok(left);
            }
            let found = OPERATIONS.iter().find(|(symbol, _, binds)| rest.starts_with(symbol) && *binds >= least);
            let Some(&(symbol, operation, binds)) = found else { return Ok(left) };
            let at = self.at;
            self.skip(symbol.len());
            let right = self.value(binds + 1)?;
            if matches!(operation, Operation::Divide | Operation::Remainder) && right == Value::Number(0) {
                return Err(self.wrong(at, "division by zero".into()));
            }
            left = Value::Compute(Box::new(left), operation, Box::new(right));
        }
    }

    fn operand(&mut self) -> Parsed<Value> {
        self.deep += 1;
        if self.deep > DEEPEST {
            return Err(self.wrong(self.at, format!("more than {DEEPEST} parentheses and brackets in one another")));
        }
        let value = self.operand_inside();
        self.deep -= 1;
        value
    }

    fn operand_inside(&mut self) -> Parsed<Value> {
        let at = self.at;
        if self.take_symbol("(") {
            let value = self.value(0)?;
            if !self.take_symbol(")") {
                return Err(self.wrong(at, "this `(` is not closed: add `)`".into()));
            }
            return Ok(value);
        }
        if self.take_symbol("-") {
            let value = self.operand()?;
            return Ok(Value::Compute(Box::new(Value::Number(0)), Operation::Subtract, Box::new(value)));
        }
        let rest = self.rest();
        let plain = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let hyphened = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        let (plain, hyphened) = (rest.get(..plain).unwrap_or(""), rest.get(..hyphened).unwrap_or(""));
        if let Some(n) = number(plain) {
            self.skip(plain.len());
            return Ok(Value::Number(n));
        }
        if plain.eq_ignore_ascii_case("len") {
            self.skip(plain.len());
            return Ok(Value::Length);
        }
        if let Some(n) = names::constant(hyphened) {
            self.skip(hyphened.len());
            return Ok(Value::Number(n as u32));
        }
        let base = match plain.to_ascii_lowercase().as_str() {
            "ether" | "link" | "fddi" | "tr" => Base::Link,
            "ip" => Base::Network(Over::Ip),
            "ip6" => Base::Network(Over::Ip6),
            "arp" => Base::Network(Over::Arp),
            "rarp" => Base::Network(Over::Rarp),
            name @ ("tcp" | "udp" | "sctp" | "icmp" | "icmp6" | "igmp") => {
                Base::Transport(names::protocol(name).unwrap_or_default())
            }
            _ => {
                let what = "expected a number, `len`, a constant as `tcp-syn`, or bytes of a header as `tcp[13]`";
                return Err(self.wrong(at, what.into()));
            }
        };
        self.skip(plain.len());
        if !self.take_symbol("[") {
            return Err(self.wrong(self.at, format!("expected `[`: `{plain}[OFFSET]` or `{plain}[OFFSET:SIZE]`")));
        }
        let offset = self.value(0)?;
        let mut len = 1;
        if self.take_symbol(":") {
            let size_at = self.at;
            len = match self.operand()? {
                Value::Number(n @ (1 | 2 | 4)) => n as u8,
                _ => return Err(self.wrong(size_at, "a size is 1, 2 or 4 bytes".into())),
            };
        }
        if !self.take_symbol("]") {
            return Err(self.wrong(self.at, "expected `]`".into()));
        }
        Ok(Value::Bytes { base, at: Box::new(offset), len })
    }
}
