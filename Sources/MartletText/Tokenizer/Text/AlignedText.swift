/// Text on its way through a tokenizer: UTF-8, and for each byte which bytes of the original it stands for.
///
/// Each byte of a scalar holds the whole original scalar, so that half a scalar still points at all of it.
struct AlignedText: Sendable {
    var bytes: [UInt8]
    /// Whether places in the original are kept, which take eight times the memory of the text.
    let keepsPlaces: Bool
    /// Start and end in the original for each byte; empty while the text is the original itself, from `base` on.
    private(set) var starts: [Int32] = []
    private(set) var ends: [Int32] = []
    private let base: Int

    var isIdentity: Bool { starts.isEmpty }

    init(identity bytes: [UInt8], base: Int = 0, keepsPlaces: Bool = true) {
        self.bytes = bytes
        self.base = base
        self.keepsPlaces = keepsPlaces
    }

    init(capacity: Int, keepsPlaces: Bool) {
        bytes = []
        base = 0
        self.keepsPlaces = keepsPlaces
        bytes.reserveCapacity(capacity)
        if keepsPlaces {
            starts.reserveCapacity(capacity)
            ends.reserveCapacity(capacity)
        }
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

    /// Writes the alignments out, where they are kept, so that the text may change.
    mutating func align() {
        guard keepsPlaces, isIdentity, !bytes.isEmpty else { return }
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
        guard keepsPlaces else { return }
        starts.append(contentsOf: other.starts[range])
        ends.append(contentsOf: other.ends[range])
    }

    /// Appends a scalar that stands for what the byte at `index` of another text, aligned, does.
    @inline(__always)
    mutating func append(_ code: UInt32, as other: AlignedText, _ index: Int) {
        let length = UTF8Scan.append(code, to: &bytes)
        if keepsPlaces { place(length, other.starts[index], other.ends[index]) }
    }

    /// Says what the last bytes that were appended stand for.
    @inline(__always)
    mutating func place(_ count: Int, _ start: Int32, _ end: Int32) {
        for _ in 0..<count {
            starts.append(start)
            ends.append(end)
        }
    }

    /// Puts `prefix` before the text; it stands for the first scalar. Nothing happens to an empty text.
    mutating func prepend(_ prefix: [UInt8]) {
        guard !bytes.isEmpty, !prefix.isEmpty else { return }
        align()
        bytes.insert(contentsOf: prefix, at: 0)
        guard keepsPlaces else { return }
        starts.insert(contentsOf: [Int32](repeating: starts[0], count: prefix.count), at: 0)
        ends.insert(contentsOf: [Int32](repeating: ends[0], count: prefix.count), at: 0)
    }

    /// A part with its alignments.
    func slice(_ range: Range<Int>) -> AlignedText {
        var part = AlignedText(
            identity: Array(bytes[range]), base: base + range.lowerBound, keepsPlaces: keepsPlaces)
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
        new = AlignedText(capacity: old.bytes.count + 16, keepsPlaces: old.keepsPlaces)
    }

    /// `change` 0 replaces one scalar, 1 puts one in, −n replaces one and removes the n after it.
    @inline(__always)
    mutating func put(_ code: UInt32, _ change: Int) {
        let length = UTF8Scan.append(code, to: &new.bytes)
        guard new.keepsPlaces else { return }
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
        new.place(length, start, end)
        if change <= 0 {
            for _ in 0...(-change) where offset < old.bytes.count { offset += UTF8Scan.length(old.bytes[offset]) }
        }
    }
}
