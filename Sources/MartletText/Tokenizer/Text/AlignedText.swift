/// Text on its way through a tokenizer: UTF-8, and for each byte which bytes of the original it stands for.
///
/// Each byte of a scalar holds the whole original scalar, so that half a scalar still points at all of it.
struct AlignedText: Sendable {
    var bytes: [UInt8]
    /// Start and end in the original for each byte; empty while the text is the original itself, from `base` on.
    var starts: [Int32]
    var ends: [Int32]
    private(set) var base: Int

    var isIdentity: Bool { starts.isEmpty }

    init(identity bytes: [UInt8], base: Int = 0) {
        self.bytes = bytes
        starts = []
        ends = []
        self.base = base
    }

    init(capacity: Int) {
        bytes = []
        starts = []
        ends = []
        base = 0
        bytes.reserveCapacity(capacity)
        starts.reserveCapacity(capacity)
        ends.reserveCapacity(capacity)
    }

    /// Where the scalar of the byte at `index` starts in the original.
    @inline(__always)
    func originalStart(_ index: Int) -> Int {
        if !starts.isEmpty { return Int(starts[index]) }
        var start = index
        while start > 0, start < bytes.count, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return base + start
    }

    /// Where the scalar of the byte at `index` ends in the original.
    @inline(__always)
    func originalEnd(_ index: Int) -> Int {
        if !ends.isEmpty { return Int(ends[index]) }
        var end = index + 1
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return base + end
    }

    /// Writes the alignments out, so that the text may change.
    mutating func align() {
        guard isIdentity, !bytes.isEmpty else { return }
        let count = bytes.count
        var starts = [Int32](repeating: 0, count: count)
        var ends = starts
        var index = 0
        while index < count {
            let length = UTF8Scan.length(bytes[index])
            for offset in index..<min(index + length, count) {
                starts[offset] = Int32(base + index)
                ends[offset] = Int32(base + index + length)
            }
            index += length
        }
        self.starts = starts
        self.ends = ends
    }

    /// Appends a part of another text with its alignments. Both must have been aligned.
    mutating func append(_ other: AlignedText, _ range: Range<Int>) {
        bytes.append(contentsOf: other.bytes[range])
        starts.append(contentsOf: other.starts[range])
        ends.append(contentsOf: other.ends[range])
    }

    /// A part with its alignments.
    func slice(_ range: Range<Int>) -> AlignedText {
        var part = AlignedText(identity: Array(bytes[range]), base: base + range.lowerBound)
        if !isIdentity {
            part.starts = Array(starts[range])
            part.ends = Array(ends[range])
        }
        return part
    }
}

/// Rewrites a text scalar by scalar, keeping count of what each new scalar stands for.
///
/// The rule is that of `tokenizers`: a scalar that replaces others stands for the first of them; one that is put in
/// stands for the scalar before it.
struct TextRewriter {
    private let old: AlignedText
    private var offset: Int
    private(set) var new: AlignedText

    /// Rewrites `old` (aligned) from byte `offset` on; what is before is left out.
    init(_ old: AlignedText, from offset: Int = 0) {
        self.old = old
        self.offset = offset
        new = AlignedText(capacity: old.bytes.count + 16)
    }

    /// `change` 0 replaces one scalar, 1 puts one in, −n replaces one and removes the n after it.
    @inline(__always)
    mutating func put(_ code: UInt32, _ change: Int) {
        let length = UTF8Scan.append(code, to: &new.bytes)
        var start: Int32 = 0
        var end: Int32 = 0
        let place = change > 0 ? offset - 1 : offset
        if place >= 0, place < old.starts.count {
            start = old.starts[place]
            end = old.ends[place]
        } else if let lastStart = old.starts.last, let lastEnd = old.ends.last, place >= 0 {
            start = lastStart
            end = lastEnd
        }
        for _ in 0..<length {
            new.starts.append(start)
            new.ends.append(end)
        }
        if change <= 0 {
            for _ in 0...(-change) where offset < old.bytes.count { offset += UTF8Scan.length(old.bytes[offset]) }
        }
    }
}
