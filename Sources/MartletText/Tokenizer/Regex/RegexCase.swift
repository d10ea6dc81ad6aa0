/// The scalars that differ from another only in case.
enum RegexCase {
    static func variants(of code: UInt32) -> [UInt32] {
        guard let scalar = Unicode.Scalar(code) else { return [] }
        var found: Set<UInt32> = []
        func add(_ mapped: String) {
            if mapped.unicodeScalars.count == 1, let only = mapped.unicodeScalars.first { found.insert(only.value) }
        }
        add(scalar.properties.lowercaseMapping)
        add(scalar.properties.uppercaseMapping)
        // Capitals and signs whose small letter is an ordinary one.
        let folds: [UInt32: [UInt32]] = [
            0x73: [0x17F], 0x53: [0x17F], 0x17F: [0x73, 0x53], 0x6B: [0x212A], 0x4B: [0x212A], 0x212A: [0x6B, 0x4B],
            0xE5: [0x212B], 0xC5: [0x212B], 0x212B: [0xE5, 0xC5],
        ]
        found.formUnion(folds[code] ?? [])
        found.remove(code)
        return found.sorted()
    }
}
