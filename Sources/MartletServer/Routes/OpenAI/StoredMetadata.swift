import MartletWire

/// `metadata` of stored things: up to 16 texts by name.
enum StoredMetadata {
    private static let countLimit = 16
    private static let keyLimit = 64
    private static let valueLimit = 512

    /// Nil where it is left out or null. Throws `invalidRequest`.
    static func read(_ fields: inout RequestFields, _ name: String = "metadata") throws -> JSON? {
        guard let value = try fields.object(name), let object = value.object else { return nil }
        guard object.count <= countLimit else {
            throw fields.fault(name, "has \(object.count) keys; give at most \(countLimit)")
        }
        for (key, value) in object {
            guard (1...keyLimit).contains(key.count) else {
                throw fields.fault(name, "has the key '\(key.prefix(80))'; keys have 1 to \(keyLimit) characters")
            }
            guard let text = value.string, text.count <= valueLimit else {
                throw fields.fault(
                    name, "has for '\(key)' \(value.kind) that is no text of at most \(valueLimit) characters; mend it")
            }
        }
        return value
    }
}
