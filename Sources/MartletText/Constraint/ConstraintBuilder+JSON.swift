extension ConstraintBuilder {
    /// A comma or colon with one space after it or none: as Python's `json.dumps`, or compact.
    mutating func separator(_ mark: String, from: Int) throws -> Int {
        try optional(" ", from: try literal(mark, from: from))
    }

    /// Any JSON value.
    mutating func jsonValue(from: Int) throws -> Int {
        if let rule = memo.value { return try call(rule, from: from) }
        let rule = try newRule()
        memo.value = rule
        let end = try alternatives(5, from: Int(grammar.rules[rule])) { builder, index, start in
            switch index {
            case 0: try builder.jsonObject(from: start)
            case 1: try builder.jsonArray(from: start)
            case 2: try builder.jsonString(from: start)
            case 3: try builder.jsonNumber(from: start)
            default: try builder.words(["true", "false", "null"], from: start)
            }
        }
        finishRule(at: end)
        return try call(rule, from: from)
    }

    mutating func words(_ words: [String], from: Int) throws -> Int {
        try alternatives(words.count, from: from) { try $0.literal(words[$1], from: $2) }
    }

    mutating func jsonObject(from: Int) throws -> Int {
        let open = try literal("{", from: from)
        let end = try repeated(minimum: 0, maximum: nil, separatedBy: ",", from: open) {
            try $0.member(from: $1) {
                try $0.jsonString(from: $1)
            } value: {
                try $0.jsonValue(from: $1)
            }
        }
        return try literal("}", from: end)
    }

    /// An object whose first member is not the name of one of these functions.
    mutating func jsonObject(unlikeCallsOf names: [String], from: Int) throws -> Int {
        let open = try literal("{", from: from)
        let first = try alternatives(2, from: open) { builder, index, start in
            try builder.member(from: start) {
                try index == 0 ? $0.jsonString(except: ["name"], from: $1) : $0.jsonLiteral("name", from: $1)
            } value: {
                try index == 0 ? $0.jsonValue(from: $1) : $0.jsonValue(except: names, from: $1)
            }
        }
        let end = try repeated(minimum: 0, maximum: nil, from: first) {
            try $0.member(from: try $0.separator(",", from: $1)) {
                try $0.jsonString(from: $1)
            } value: {
                try $0.jsonValue(from: $1)
            }
        }
        join(open, end)
        return try literal("}", from: end)
    }

    /// Any JSON value but these strings.
    private mutating func jsonValue(except texts: [String], from: Int) throws -> Int {
        try alternatives(5, from: from) { builder, index, start in
            switch index {
            case 0: try builder.jsonObject(from: start)
            case 1: try builder.jsonArray(from: start)
            case 2: try builder.jsonString(except: texts, from: start)
            case 3: try builder.jsonNumber(from: start)
            default: try builder.words(["true", "false", "null"], from: start)
            }
        }
    }

    mutating func member(
        from: Int, name: (inout ConstraintBuilder, Int) throws -> Int,
        value: (inout ConstraintBuilder, Int) throws -> Int
    ) throws -> Int {
        let colon = try separator(":", from: try name(&self, from))
        return try value(&self, colon)
    }

    mutating func jsonArray(from: Int) throws -> Int {
        let open = try literal("[", from: from)
        let end = try repeated(minimum: 0, maximum: nil, separatedBy: ",", from: open) {
            try $0.jsonValue(from: $1)
        }
        return try literal("]", from: end)
    }

    /// A number of bounded length: up to 16 digits on each side, a small exponent.
    mutating func jsonNumber(from: Int) throws -> Int {
        if let rule = memo.number { return try call(rule, from: from) }
        let rule = try newRule()
        memo.number = rule
        let pattern = "-?(?:0|[1-9][0-9]{0,15})(?:\\.[0-9]{1,16})?(?:[eE][+-]?[0-9]{1,2})?"
        finishRule(at: try self.pattern(pattern, .plain, from: Int(grammar.rules[rule])))
        return try call(rule, from: from)
    }
}
