/// The four normalization forms (Unicode Standard Annex 15), with what each new scalar stands for.
enum UnicodeForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    private var isCompatible: Bool { self == .nfkc || self == .nfkd }
    private var isComposed: Bool { self == .nfc || self == .nfkc }

    func apply(_ text: inout AlignedText) {
        guard text.bytes.contains(where: { $0 >= 0x80 }) else { return }
        text.align()
        let table = NormalizationTable.shared
        var rewriter = TextRewriter(text)
        var composer = Composer()
        // Scalars since the last starter, in text order until the next one comes.
        var pending: [(code: UInt32, combining: UInt8, change: Int)] = []
        func flush() {
            if pending.count > 1 { Self.order(&pending) }
            for entry in pending {
                if isComposed {
                    composer.take(entry.code, entry.combining, entry.change, table, &rewriter)
                } else {
                    rewriter.put(entry.code, entry.change)
                }
            }
            pending.removeAll(keepingCapacity: true)
        }
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                index += length
                var change = 0
                table.decompose(code, compatibly: isCompatible) { part in
                    let combining = table.combiningClasses[Int(part)]
                    if combining == 0 { flush() }
                    pending.append((part, combining, change))
                    change = 1
                }
            }
        }
        flush()
        if isComposed { composer.finish(&rewriter) }
        text = rewriter.new
    }

    /// Sorts what follows a starter by combining class, keeping the order within a class.
    private static func order(_ pending: inout [(code: UInt32, combining: UInt8, change: Int)]) {
        guard zip(pending, pending.dropFirst()).contains(where: { $0.combining > $1.combining }) else { return }
        pending = pending.enumerated().sorted { ($0.element.combining, $0.offset) < ($1.element.combining, $1.offset) }
            .map { $0.element }
    }
}

/// Composes an ordered, decomposed text again.
private struct Composer {
    private var starter: (code: UInt32, change: Int)?
    private var lastClass: UInt8?
    private var held: [(code: UInt32, change: Int)] = []

    mutating func take(
        _ code: UInt32, _ combining: UInt8, _ change: Int, _ table: NormalizationTable, _ out: inout TextRewriter
    ) {
        guard let current = starter else {
            if combining != 0 { out.put(code, change) } else { starter = (code, change) }
            return
        }
        let isBlocked = lastClass.map { $0 >= combining } ?? false
        if !isBlocked, let composed = table.compose(current.code, code) {
            starter = (composed, current.change + change - 1)
            return
        }
        if combining == 0 {
            if lastClass == nil || isBlocked {
                out.put(current.code, current.change)
                flushHeld(&out)
                starter = (code, change)
                lastClass = nil
                return
            }
        }
        held.append((code, change))
        lastClass = combining
    }

    private mutating func flushHeld(_ out: inout TextRewriter) {
        for entry in held { out.put(entry.code, entry.change) }
        held.removeAll(keepingCapacity: true)
    }

    mutating func finish(_ out: inout TextRewriter) {
        if let starter { out.put(starter.code, starter.change) }
        flushHeld(&out)
    }
}
