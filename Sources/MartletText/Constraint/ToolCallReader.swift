import MartletWire

/// Reads one call's object byte by byte: its name, and the text of its arguments as soon as the name is known.
struct ToolCallReader: Sendable {
    private enum Value: Sendable { case name, arguments, other }

    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// The string that is being read at depth 1, quotes included: a key or the name.
    private var token: [UInt8] = []
    private var key: String?
    private var value: Value?
    private var isValueStarted = false
    private(set) var name: String?
    private var isNameTold = false
    private var hasArguments = false
    /// Arguments that are not given out yet: bytes after the last whole character, or all before the name is known.
    private var held: [UInt8] = []
    /// Everything that was read, while it may still turn out to be no call.
    private var read: [UInt8] = []
    private(set) var isDone = false
    private(set) var isBroken = false

    var heldBytes: Int { held.count + read.count + token.count }

    /// What was read, where no call came of it.
    var unread: [UInt8]? { isNameTold ? nil : read }

    /// The name, once it and the beginning of the arguments are read.
    var newName: String? { !isNameTold && (hasArguments || isDone) ? name : nil }

    /// Whether what was read begins as a call of one of `names` (empty: of any function) does: by its arguments, or by a
    /// part of its name.
    func isLikeCall(of names: Set<String>) -> Bool {
        if hasArguments { return held.first == UInt8(ascii: "{") }
        guard value == .name, isInString, depth == 1 else { return false }
        return names.isEmpty || names.contains { JSON.string($0).serialized().utf8.starts(with: token) }
    }

    mutating func tellName() {
        isNameTold = true
        read = []
        if !hasArguments { held = Array("{}".utf8) }
    }

    /// Arguments up to the last whole character.
    mutating func takeArguments() -> [UInt8] {
        guard isNameTold, !held.isEmpty else { return [] }
        var count = held.count
        var back = 1
        while back <= min(3, held.count) {
            let byte = held[held.count - back]
            if byte & 0xC0 != 0x80 {
                let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
                if length > back { count -= back }
                break
            }
            back += 1
        }
        defer { held.removeFirst(count) }
        return Array(held[..<count])
    }

    mutating func take(_ byte: UInt8) {
        if !isNameTold { read.append(byte) }
        if value == .arguments, depth > 1 || isInString || byte != UInt8(ascii: "}") && byte != UInt8(ascii: ",") {
            takeArgument(byte)
            return
        }
        if isInString {
            takeString(byte)
            return
        }
        switch byte {
        case UInt8(ascii: "\""):
            isInString = true
            token = depth == 1 ? [byte] : []
            isValueStarted = isValueStarted || value != nil
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            isValueStarted = isValueStarted || value != nil
            depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth -= 1
            if depth == 0 { isDone = true }
        case UInt8(ascii: ":") where depth == 1:
            switch key {
            case "name": value = .name
            case "arguments", "parameters": value = .arguments
            default: value = .other
            }
            isValueStarted = false
            guard key != nil, value != .arguments || !hasArguments else {
                isBroken = true
                return
            }
        case UInt8(ascii: ",") where depth == 1:
            key = nil
            value = nil
        case 0x20, 0x09...0x0D: break
        default:
            if depth == 1, value == nil { isBroken = true }
        }
    }

    private mutating func takeString(_ byte: UInt8) {
        if depth == 1 { token.append(byte) }
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
            guard depth == 1 else { return }
            let text = try? JSONParser.parse(token).string
            token = []
            if value == nil {
                key = text
            } else if value == .name {
                name = text
            }
        }
    }

    /// A byte of the arguments' value; its white space at the start is left out.
    private mutating func takeArgument(_ byte: UInt8) {
        if !isValueStarted {
            guard byte != 0x20, !(0x09...0x0D).contains(byte) else { return }
            isValueStarted = true
            hasArguments = true
        }
        held.append(byte)
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
            }
            return
        }
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
    }
}
