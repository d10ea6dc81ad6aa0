import MartletWire

extension ConstraintBuilder {
    /// Free text that may turn into calls of `tools`: behind the mark of the format, wherever it comes, or, where a call
    /// is a bare object, behind the name of one of them in the object that the text begins with. The text may end
    /// anywhere, a call only as a whole.
    mutating func textOrToolCalls(
        _ tools: [GenerationRequest.Tool], _ format: ToolCallFormat, isParallel: Bool, markers: [String: Int], from: Int
    ) throws -> Int {
        guard let mark = format.mark else {
            guard format.begin.isEmpty, format.open.isEmpty else {
                throw MartletError(
                    .invalidRequest, "calls that begin with '\(format.begin + format.open)' have no mark")
            }
            return try textOrBareCall(of: tools, format, from: from)
        }
        let start = try state()
        try text(until: mark, token: markers[mark], then: start, from: from)
        let begin = try literal(String(format.begin.dropFirst(mark.count)), from: start)
        return try calls(of: tools, format, isParallel: isParallel, markers: markers, from: begin)
    }

    /// Text up to a mark (Knuth, Morris and Pratt, 1977), or to the special token that stands for it.
    private mutating func text(until mark: String, token: Int?, then calls: Int, from: Int) throws {
        let bytes = Array(mark.utf8)
        let places = try bytes.map { _ in try state() } + [calls]
        join(from, places[0])
        // Where each byte leads, as the count of the mark's bytes that have come then.
        var rows: [[Int]] = []
        var restart = 0
        for (count, byte) in bytes.enumerated() {
            var row = count == 0 ? [Int](repeating: 0, count: 256) : rows[restart]
            row[Int(byte)] = count + 1
            if count > 0 { restart = rows[restart][Int(byte)] }
            rows.append(row)
        }
        for (count, row) in rows.enumerated() {
            text(at: places[count], row.map { places[$0] })
            if let token = token.flatMap({ Int32(exactly: $0) }) {
                grammar.states[places[count]].tokens.append((token, Int32(calls)))
            }
        }
    }

    /// Makes a state one of free text that goes to `targets`, one for each byte; nil where text does not go on so.
    private mutating func text(at place: Int, _ targets: [Int?]) {
        grammar.states[place].isFree = true
        grammar.states[place].isReturn = true
        var low = 0
        for byte in 1...256 where byte == 256 || targets[byte] != targets[low] {
            if let target = targets[low] { edge(place, UInt8(low), UInt8(byte - 1), to: target) }
            low = byte
        }
    }

    /// Whether so many kinds of arguments can be followed side by side until a name tells them apart.
    private func canFollow(_ kinds: [ArgumentKind]) -> Bool {
        kinds.count <= 32 && kinds.reduce(0) { $0 + $1.propertyCount } <= limits.ways / 2
    }

    /// An object with the name of a tool first, spaced as it likes and with the type that some models put before it,
    /// is held to that tool's arguments from there on. One whose arguments come first is held to those of some tool, and
    /// to its name behind them: once the name is there it is too late for the arguments. Any other text is free.
    private mutating func textOrBareCall(
        of tools: [GenerationRequest.Tool], _ format: ToolCallFormat, from: Int
    ) throws -> Int {
        guard !tools.isEmpty else { throw MartletError(.invalidRequest, "'tools' is empty; name a function") }
        try Self.checkNames(tools)
        let other = try state()
        let start = try state()
        join(from, start)
        var tree = ByteMoves(start)
        func path(_ text: String, _ from: Int) throws -> Int {
            var place = from
            for byte in text.utf8 { place = try tree.next(place, byte) { try state() } }
            return place
        }
        /// The place behind a mark that white space may stand on both sides of.
        func spaced(_ mark: String, _ from: Int) throws -> Int {
            tree.space(from)
            let place = try path(mark, from)
            tree.space(place)
            return place
        }
        let kinds = try argumentKinds(of: tools)
        let object = try spaced("{", start)
        let typed = try spaced(",", path("\"function\"", spaced(":", path("\"type\"", object))))
        var names: [(end: Int, tool: Int)] = []
        var arguments: [Int] = []
        for place in [object, typed] {
            let value = try spaced(":", path("\"name\"", place))
            for (index, tool) in tools.enumerated() {
                names.append((try path(JSON.string(tool.name).serialized(), value), index))
            }
            guard canFollow(kinds) else { continue }
            arguments.append(try spaced(":", path("\"\(format.argumentsKey)\"", place)))
        }
        let bound = Set(names.map(\.end))
        for (place, moves) in tree.moves where !bound.contains(place) {
            var targets: [Int?] = (0..<256).map { moves[UInt8($0)] ?? other }
            if arguments.contains(place) { targets[Int(UInt8(ascii: "{"))] = nil }
            text(at: place, targets)
        }
        text(at: other, [Int](repeating: other, count: 256))
        let end = try state()
        for kind in kinds {
            for index in kind.tools {
                var next = try joined(names.filter { $0.tool == index }.map(\.end))
                next = try literal("\"\(format.argumentsKey)\"", from: try separator(",", from: next))
                next = try call(kind.rule, from: try separator(":", from: next))
                join(try literal("}", from: next), end)
            }
            guard !arguments.isEmpty else { continue }
            var next = try call(kind.rule, from: try joined(arguments))
            next = try literal("\"name\"", from: try separator(",", from: next))
            next = try alternatives(kind.tools.count, from: try separator(":", from: next)) {
                try $0.jsonLiteral(tools[kind.tools[$1]].name, from: $2)
            }
            join(try literal("}", from: next), end)
        }
        return end
    }

    /// A state that each of `places` leads to.
    private mutating func joined(_ places: [Int]) throws -> Int {
        let start = try state()
        for place in places { join(place, start) }
        return start
    }

    /// The tools that have the same arguments, and the rule for these.
    private mutating func argumentKinds(of tools: [GenerationRequest.Tool]) throws -> [ArgumentKind] {
        var kinds: [ArgumentKind] = []
        var known: [[UInt8]: Int] = [:]
        for (index, tool) in tools.enumerated() {
            let key = Array(tool.parameters.serialized().utf8)
            if let kind = known[key] {
                kinds[kind].tools.append(index)
                continue
            }
            known[key] = kinds.count
            let rule = try newRule()
            finishRule(at: try arguments(of: tool, from: Int(grammar.rules[rule])))
            let properties = tool.parameters["properties"]?.object?.count ?? 0
            kinds.append(ArgumentKind(rule: rule, propertyCount: properties, tools: [index]))
        }
        return kinds
    }
}

/// Arguments that one or several tools have.
private struct ArgumentKind {
    var rule: Int
    var propertyCount: Int
    /// Their places in the list of tools.
    var tools: [Int]
}

/// Places in a text and the bytes that lead from one to another.
private struct ByteMoves {
    private(set) var moves: [Int: [UInt8: Int]]

    init(_ start: Int) { moves = [start: [:]] }

    /// The place behind a byte, made where there is none.
    mutating func next(_ place: Int, _ byte: UInt8, make: () throws -> Int) rethrows -> Int {
        if let known = moves[place]?[byte] { return known }
        let made = try make()
        moves[place, default: [:]][byte] = made
        moves[made] = [:]
        return made
    }

    /// White space leaves a place as it is.
    mutating func space(_ place: Int) {
        for byte: UInt8 in [0x20, 0x09, 0x0A, 0x0D] { moves[place, default: [:]][byte] = place }
    }
}
