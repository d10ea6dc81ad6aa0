import MartletWire

/// What a Replace or a Split looks for: a literal or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case regex(RegexProgram)

    /// Reads `{"String": …}` or `{"Regex": …}`.
    init(_ json: JSON?, of part: String) throws {
        if let text = json?["String"]?.string ?? json?.string {
            self = .literal(Array(text.utf8))
        } else if let pattern = json?["Regex"]?.string {
            self = .regex(try RegexProgram(pattern))
        } else {
            throw MartletError(
                .invalidData, "the tokenizer's \(part) has no pattern, a String or a Regex; export the tokenizer again")
        }
    }

    /// Calls `body` with the start and end of each match in a part of a text, in order.
    func forEachMatch(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ body: (Int, Int) -> Void) {
        switch self {
        case .regex(let program):
            RegexMatcher.forEachMatch(of: program, in: bytes, from: start, to: end, body)
        case .literal(let literal):
            guard let first = literal.first else { return }
            var index = start
            while index + literal.count <= end {
                if bytes[index] == first {
                    var offset = 1
                    while offset < literal.count, bytes[index + offset] == literal[offset] { offset += 1 }
                    if offset == literal.count {
                        body(index, index + literal.count)
                        index += literal.count
                        continue
                    }
                }
                index += 1
            }
        }
    }
}
