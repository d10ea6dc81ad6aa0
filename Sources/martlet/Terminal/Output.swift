import Foundation
import MartletWire

/// What a command says: one JSON document, or text.
struct Output {
    let isJSON: Bool
    let isQuiet: Bool

    /// `value` as JSON where that was asked for, else what `text` says of it.
    func show<Value: Encodable>(_ value: Value, text: (Value) -> String) throws {
        if isJSON {
            let document = try JSON(encoding: value)
            print(document.serialized(pretty: true))
        } else {
            let text = text(value)
            if !text.isEmpty { print(Console.inert(text)) }
        }
    }

    /// A sentence about what is going on.
    func note(_ text: String) {
        if !isQuiet { Console.note(text) }
    }
}

/// Values in a reader's form.
enum Format {
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["bytes", "KiB", "MiB", "GiB"] {
            if value < 1024 { return unit == "bytes" ? "\(count) bytes" : String(format: "%.1f %@", value, unit) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }

    static func time(_ date: Date) -> String {
        date.formatted(Date.ISO8601FormatStyle(dateSeparator: .dash, dateTimeSeparator: .space))
    }

    static func seconds(_ value: Double) -> String {
        guard value.isFinite, value < 1e9 else { return "?" }
        let whole = Int(value.rounded())
        if whole >= 3600 { return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60) }
        return value < 10 ? String(format: "%.1f s", value) : String(format: "%d:%02d", whole / 60, whole % 60)
    }

    /// Four significant digits where there are more, else as it is.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value == value.rounded(), abs(value) < 1e15 { return String(format: "%.0f", value) }
        return abs(value) >= 1e5 || abs(value) < 1e-4 ? String(format: "%.4g", value) : String(format: "%.4f", value)
    }

    /// `1 file`, `12 files`.
    static func count(_ value: Int, _ noun: String) -> String { "\(count(value)) \(noun)\(value == 1 ? "" : "s")" }

    static func count(_ value: Int) -> String { value.formatted(.number.locale(Locale(identifier: "en_US"))) }

    static func short(hash: String) -> String { String(hash.prefix(12)) }

    /// A JSON leaf as a table shows it.
    static func cell(_ value: JSON?) -> String {
        switch value {
        case nil, .null: ""
        case .string(let text): text
        case .double(let number): Self.number(number)
        case .some(let value): value.serialized()
        }
    }
}
