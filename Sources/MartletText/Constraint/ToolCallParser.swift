import MartletWire

/// Takes a model's text as it comes and gives back what is said and which functions are called: for answers in which the
/// model chose freely (`tool_choice: auto`) as for constrained ones.
///
/// Reads all three formats by their marks, whatever the order of a call's keys. What is held back is bounded: a call that
/// does not get to its arguments within `limit` bytes is an error, and arguments are passed on as they come.
public struct ToolCallParser: Sendable {
    public enum Part: Sendable, Equatable {
        case text(String)
        /// A call of a function begins; the first has index 0.
        case call(index: Int, name: String)
        /// More of the JSON text of a call's arguments.
        case arguments(index: Int, String)
    }

    private enum Place: Sendable {
        /// What is said; `canBeCall` before the first character that is not white space.
        case text(canBeCall: Bool)
        /// Between or before the calls of a list or of a tag.
        case between
        case call(ToolCallReader)
    }

    private enum Wrapper: Sendable { case none, tag, list }

    private let format: ToolCallFormat
    private let names: Set<String>
    private let limit: Int
    private var place = Place.text(canBeCall: true)
    private var wrapper = Wrapper.none
    private var pending: [UInt8] = []
    private var parts: [Part] = []
    private var isListOpen = false
    /// Calls so far.
    public private(set) var callCount = 0
    /// Whether the answer ended within a call whose name was given.
    public private(set) var endsInCall = false

    /// `names` are the functions that there are (empty: any), `limit` the most bytes that are held back.
    public init(_ format: ToolCallFormat, names: Set<String> = [], limit: Int = 1 << 20) {
        self.format = format
        self.names = names
        self.limit = limit
    }

    private static let tagOpen = Array("<tool_call>".utf8)
    private static let tagClose = Array("</tool_call>".utf8)
    private static let listOpen = Array("[TOOL_CALLS]".utf8)

    /// The parts that are certain after `text`. Throws `invalidData` where a call grows past the limit.
    public mutating func append(_ text: String) throws -> [Part] {
        pending += text.utf8
        try run(isLast: false)
        return taken()
    }

    /// What is left at the end of the answer. An object that names no function is given back as text.
    /// - Parameters:
    ///   - isCut: whether the answer was cut off, by its limit or a stop text. A call that has its name and no arguments
    ///     yet is one then, and a call without its name is left out: half of it is nothing that was said. So is more than
    ///     half of a call's mark, which is beyond chance.
    ///   - isCall: whether the answer can be nothing but calls: what begins one is no text then, however short.
    public mutating func finish(isCut: Bool = false, isCall: Bool = false) throws -> [Part] {
        try run(isLast: true) { matched, count in isCut && (isCall || 2 * matched > count) }
        switch place {
        case .call(let reader):
            endsInCall = reader.unread == nil
            if let unread = reader.unread { isCut ? cut(reader, isCall) : say(unread) }
        case .text: say(pending)
        case .between: break
        }
        pending = []
        place = .text(canBeCall: false)
        return taken()
    }

    private mutating func cut(_ reader: ToolCallReader, _ isCall: Bool) {
        if let name = reader.name, names.isEmpty || names.contains(name) {
            parts.append(.call(index: callCount, name: name))
            callCount += 1
            endsInCall = true
        } else if wrapper == .none, !isCall, !reader.isLikeCall(of: names), let unread = reader.unread {
            say(unread)
        }
    }

    private mutating func taken() -> [Part] {
        defer { parts = [] }
        return parts
    }

    private mutating func say(_ bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        if case .text(let last)? = parts.last {
            parts[parts.count - 1] = .text(last + text)
        } else {
            parts.append(.text(text))
        }
    }

    /// - Parameter isHalf: whether so many bytes of so many of a mark, with which the answer ends, are no text.
    private mutating func run(isLast: Bool, isHalf: (Int, Int) -> Bool = { _, _ in false }) throws {
        var start = 0
        while start < pending.count {
            let before = start
            switch place {
            case .text(let canBeCall):
                start = readText(from: start, canBeCall: canBeCall, isLast: isLast, isHalf)
            case .between: start = readBetween(from: start, isLast: isLast)
            case .call(var reader):
                start = try read(&reader, from: start)
            }
            if start == before { break }
        }
        pending.removeFirst(start)
    }

    /// Text up to a mark; the end of the text that could begin a mark is held back.
    private mutating func readText(
        from start: Int, canBeCall: Bool, isLast: Bool, _ isHalf: (Int, Int) -> Bool
    ) -> Int {
        var canBeCall = canBeCall
        let mark = format == .mistral ? Self.listOpen : Self.tagOpen
        let isBare = format == .llama3 || format.open.isEmpty && format.begin.isEmpty
        var index = start
        while index < pending.count {
            let byte = pending[index]
            if isBare {
                if canBeCall, byte == UInt8(ascii: "{") || (byte == UInt8(ascii: ";") && callCount > 0) {
                    wrapper = .none
                    place = byte == UInt8(ascii: "{") ? .call(ToolCallReader()) : .text(canBeCall: true)
                    return byte == UInt8(ascii: "{") ? index : index + 1
                }
            } else if byte == mark[0] {
                let matched = zip(pending[index...], mark).prefix { $0 == $1 }.count
                if matched == mark.count {
                    say(trimmed(pending[start..<index], isAfterCall: callCount > 0))
                    wrapper = format == .mistral ? .list : .tag
                    isListOpen = false
                    place = .between
                    return index + matched
                }
                if index + matched == pending.count, isLast, callCount > 0 || isHalf(matched, mark.count) {
                    // Of one more call, which did not come.
                    say(trimmed(pending[start..<index], isAfterCall: callCount > 0))
                    return pending.count
                }
                if index + matched == pending.count, !isLast {
                    if callCount > 0, pending[start..<index].allSatisfy(Self.isSpace) { return start }
                    say(pending[start..<index])
                    if index > start { place = .text(canBeCall: false) }
                    return index
                }
            }
            if !Self.isSpace(byte) {
                canBeCall = false
            } else if isBare, canBeCall, index + 1 == pending.count, !isLast {
                // White space before what may be a call.
                return start
            }
            index += 1
        }
        let rest = pending[start...]
        if !isLast, callCount > 0, rest.allSatisfy(Self.isSpace) { return start }
        say(isLast ? trimmed(rest, isAfterCall: callCount > 0) : Array(rest))
        place = .text(canBeCall: canBeCall)
        return pending.count
    }

    /// White space between calls is no part of what is said.
    private func trimmed(_ bytes: ArraySlice<UInt8>, isAfterCall: Bool) -> [UInt8] {
        isAfterCall && bytes.allSatisfy(Self.isSpace) ? [] : Array(bytes)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private mutating func readBetween(from start: Int, isLast: Bool) -> Int {
        var index = start
        while index < pending.count, Self.isSpace(pending[index]) { index += 1 }
        guard index < pending.count else { return pending.count }
        switch pending[index] {
        case UInt8(ascii: "{"):
            place = .call(ToolCallReader())
            return index
        case UInt8(ascii: "[") where wrapper == .list && !isListOpen:
            isListOpen = true
            return index + 1
        case UInt8(ascii: ",") where wrapper == .list: return index + 1
        case UInt8(ascii: "]") where wrapper == .list:
            place = .text(canBeCall: false)
            return index + 1
        default:
            let matched = zip(pending[index...], Self.tagClose).prefix { $0 == $1 }.count
            if wrapper == .tag, matched == Self.tagClose.count {
                place = .text(canBeCall: false)
                return index + matched
            }
            // The beginning of the mark at the end of the answer is no text either.
            if wrapper == .tag, index + matched == pending.count { return isLast ? pending.count : start }
            place = .text(canBeCall: false)
            return index
        }
    }

    private mutating func read(_ reader: inout ToolCallReader, from start: Int) throws -> Int {
        var index = start
        while index < pending.count, !reader.isDone {
            reader.take(pending[index])
            index += 1
            if reader.isBroken { break }
        }
        if reader.isBroken {
            if let unread = reader.unread { say(unread) }
            place = .text(canBeCall: false)
            return index
        }
        if let name = reader.newName {
            guard names.isEmpty || names.contains(name) else {
                // An object that names no function is an answer like any other.
                say(reader.unread ?? [])
                place = .text(canBeCall: false)
                return index
            }
            reader.tellName()
            parts.append(.call(index: callCount, name: name))
            callCount += 1
        }
        let arguments = reader.takeArguments()
        if !arguments.isEmpty {
            parts.append(.arguments(index: callCount - 1, String(decoding: arguments, as: UTF8.self)))
        }
        guard reader.heldBytes <= limit else {
            throw MartletError(
                .invalidData, "a tool call of the model has more than \(limit) bytes before its arguments; ask again")
        }
        if reader.isDone {
            if let unread = reader.unread { say(unread) }
            place = wrapper == .none ? .text(canBeCall: true) : .between
        } else {
            place = .call(reader)
        }
        return index
    }
}
