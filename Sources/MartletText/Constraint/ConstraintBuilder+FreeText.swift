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

    /// Makes a state one of free text that goes to `targets`, one for each byte.
    private mutating func text(at place: Int, _ targets: [Int]) {
        grammar.states[place].isFree = true
        grammar.states[place].isReturn = true
        var low = 0
        for byte in 1...256 where byte == 256 || targets[byte] != targets[low] {
            edge(place, UInt8(low), UInt8(byte - 1), to: targets[low])
            low = byte
        }
    }

    /// An object with the name of a tool first, spaced as it likes and with the type that some models put before it,
    /// is held to that tool's arguments from there on; any other text is free.
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
        let object = try spaced("{", start)
        let typed = try spaced(",", path("\"function\"", spaced(":", path("\"type\"", object))))
        var names: [(end: Int, tool: Int)] = []
        for place in [object, typed] {
            let value = try spaced(":", path("\"name\"", place))
            for (index, tool) in tools.enumerated() {
                names.append((try path(JSON.string(tool.name).serialized(), value), index))
            }
        }
        let bound = Set(names.map(\.end))
        for (place, moves) in tree.moves where !bound.contains(place) {
            text(at: place, (0..<256).map { moves[UInt8($0)] ?? other })
        }
        text(at: other, [Int](repeating: other, count: 256))
        return try alternatives(tools.count, joining: names) { builder, index, start in
            var end = try builder.separator(",", from: start)
            end = try builder.literal("\"\(format.argumentsKey)\"", from: end)
            end = try builder.separator(":", from: end)
            return try builder.literal("}", from: try builder.arguments(of: tools[index], from: end))
        }
    }

    /// Alternatives that begin at places of their own.
    private mutating func alternatives(
        _ count: Int, joining starts: [(end: Int, tool: Int)],
        _ build: (inout ConstraintBuilder, Int, Int) throws -> Int
    ) throws -> Int {
        let end = try state()
        for index in 0..<count {
            let start = try state()
            for place in starts where place.tool == index { join(place.end, start) }
            join(try build(&self, index, start), end)
        }
        return end
    }
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
