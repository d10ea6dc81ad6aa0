import MartletWire

extension ConstraintBuilder {
    /// A whole text that `pattern` matches from end to end.
    mutating func pattern(_ pattern: String, _ encoding: ConstraintEncoding, from: Int) throws -> Int {
        try self.pattern(try PatternParser.parse(pattern), encoding, from: from)
    }

    mutating func pattern(
        _ alternatives: [PatternAlternative], _ encoding: ConstraintEncoding, from: Int
    ) throws -> Int {
        try self.alternatives(alternatives.count, from: from) { builder, index, start in
            try builder.regex(alternatives[index].body, encoding, from: start)
        }
    }

    /// A JSON string that a pattern matches somewhere: JSON schema does not anchor patterns.
    mutating func jsonString(matching alternatives: [PatternAlternative], from: Int) throws -> Int {
        let open = try literal("\"", from: from)
        let end = try self.alternatives(alternatives.count, from: open) { builder, index, start in
            let alternative = alternatives[index]
            var end = start
            if !alternative.startsAtStart {
                end = try builder.star(from: end) { try $0.character(.all, .json, from: $1) }
            }
            end = try builder.regex(alternative.body, .json, from: end)
            if !alternative.endsAtEnd { end = try builder.star(from: end) { try $0.character(.all, .json, from: $1) } }
            return end
        }
        return try literal("\"", from: end)
    }

    /// Recursion is as deep as the parser let the pattern be.
    private mutating func regex(_ regex: PatternNode, _ encoding: ConstraintEncoding, from: Int) throws -> Int {
        switch regex {
        case .set(let set):
            guard !set.isEmpty else { throw MartletError(.invalidRequest, "a pattern holds a set of no characters") }
            return try character(set, encoding, from: from)
        case .sequence(let parts):
            var end = from
            for part in parts { end = try self.regex(part, encoding, from: end) }
            return end
        case .choice(let parts):
            return try alternatives(parts.count, from: from) { builder, index, start in
                try builder.regex(parts[index], encoding, from: start)
            }
        case .repeated(let part, let minimum, let maximum):
            return try repeated(part, minimum, maximum, encoding, from: from)
        }
    }

    private mutating func repeated(
        _ part: PatternNode, _ minimum: Int, _ maximum: Int?, _ encoding: ConstraintEncoding, from: Int
    ) throws -> Int {
        if maximum == 0 { return from }
        if maximum == 1 {
            let start = try state()
            join(from, start)
            let end = try regex(part, encoding, from: start)
            if minimum == 0 { join(start, end) }
            return end
        }
        guard maximum != nil || minimum > 1 else {
            var end = from
            if minimum == 1 { end = try regex(part, encoding, from: end) }
            return try star(from: end) { try $0.regex(part, encoding, from: $1) }
        }
        guard part.isNullable else {
            return try repeated(minimum: minimum, maximum: maximum, from: from) {
                try $0.regex(part, encoding, from: $1)
            }
        }
        // A part that can be empty counts for nothing: any number up to the maximum will do.
        guard let maximum else { return try star(from: from) { try $0.regex(part, encoding, from: $1) } }
        guard maximum <= 64 else {
            throw MartletError(
                .invalidRequest,
                "a pattern repeats up to \(maximum) times what can be empty; at most 64 times are supported")
        }
        var end = from
        for _ in 0..<maximum {
            let start = try state()
            join(end, start)
            end = try regex(part, encoding, from: start)
            join(start, end)
        }
        return end
    }
}
