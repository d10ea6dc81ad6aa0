extension AlignedText {
    func forEachScalar(_ body: (UInt32) -> Void) {
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                index += length
                body(code)
            }
        }
    }

    /// Keeps the scalars that `keep` maps to something, as what it maps them to.
    mutating func map(_ keep: (UInt32) -> UInt32?) {
        var changes = false
        forEachScalar { if !changes, keep($0) != $0 { changes = true } }
        guard changes else { return }
        align()
        var result = AlignedText(capacity: bytes.count, keepsPlaces: keepsPlaces)
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                if let mapped = keep(code) { result.append(mapped, as: self, index) }
                index += length
            }
        }
        self = result
    }

    /// Replaces what matches by `content`, which stands for the last scalar of the match.
    ///
    /// False, and nothing is changed, where the text would have more bytes than `limit`.
    @discardableResult
    mutating func replace(_ pattern: TextPattern, with content: [UInt8], upTo limit: Int = .max) -> Bool {
        var old = self
        var result = AlignedText(capacity: 0, keepsPlaces: keepsPlaces)
        var last = 0
        var count = 0
        var isWithin = true
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            pattern.forEachMatch(base, 0, bytes.count) { start, end in
                if count == 0 {
                    old.align()
                    result = AlignedText(capacity: bytes.count + content.count, keepsPlaces: old.keepsPlaces)
                }
                count += 1
                isWithin = isWithin && result.bytes.count + (start - last) + content.count <= limit
                guard isWithin else { return }
                result.append(old, last..<start)
                result.bytes.append(contentsOf: content)
                if old.keepsPlaces {
                    result.place(content.count, end > 0 ? old.starts[end - 1] : 0, end > 0 ? old.ends[end - 1] : 0)
                }
                last = end
            }
        }
        guard count > 0, isWithin else { return isWithin }
        result.append(old, last..<bytes.count)
        self = result
        return true
    }
}
