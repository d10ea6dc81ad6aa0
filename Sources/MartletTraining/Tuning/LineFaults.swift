import MartletWire

/// What is wrong with the lines of training files, collected up to a number that a person would read.
struct LineFaults {
    private(set) var lines: [String] = []
    private var param: String?

    static let limit = 20

    var isFull: Bool { lines.count >= Self.limit }

    mutating func add(_ error: MartletError, file: String, line: Int) {
        lines.append("\(file), line \(line): \(error.message)")
        param = param ?? error.param
    }

    /// Throws `invalidData` with a line for each fault, where there is one.
    func check() throws {
        guard !lines.isEmpty else { return }
        let more = isFull ? "\nchecking stopped after \(Self.limit) faults; mend these and look again" : ""
        throw MartletError(.invalidData, lines.joined(separator: "\n") + more, param: param)
    }
}
