/// From places in bytes to places in Unicode scalars.
struct ScalarOffsets {
    /// How many scalars begin before every 64th byte; nil for ASCII, where bytes are scalars.
    private let marks: [Int32]?
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        guard bytes.contains(where: { $0 >= 0x80 }) else {
            marks = nil
            return
        }
        var marks: [Int32] = []
        marks.reserveCapacity(bytes.count / 64 + 1)
        var count: Int32 = 0
        for (index, byte) in bytes.enumerated() {
            if index % 64 == 0 { marks.append(count) }
            if byte & 0xC0 != 0x80 { count += 1 }
        }
        self.marks = marks
    }

    /// How many scalars begin before `index`.
    @inline(__always)
    private func scalar(_ index: Int) -> Int {
        guard let marks else { return index }
        guard index > 0 else { return 0 }
        let mark = min(index / 64, marks.count - 1)
        var count = Int(marks[mark])
        var place = mark * 64
        while place < index {
            if bytes[place] & 0xC0 != 0x80 { count += 1 }
            place += 1
        }
        return count
    }

    /// The offsets of tokens in the original, for a text made of it.
    func offsets(of run: TokenRun, in text: AlignedText) -> [Range<Int>] {
        run.ids.indices.map { index in
            let (first, last) = (Int(run.starts[index]), Int(run.ends[index]))
            guard first < last, last <= text.bytes.count else {
                let place = scalar(min(first, bytes.count))
                return place..<place
            }
            let start = scalar(min(text.originalStart(first), bytes.count))
            let end = scalar(min(text.originalEnd(last - 1), bytes.count))
            return start..<max(start, end)
        }
    }
}
