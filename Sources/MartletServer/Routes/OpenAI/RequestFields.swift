import MartletPlatform
import MartletWire

/// The fields of one object of a request. Each is read once with its type and range; in the end what nobody asked for
/// is refused by name, so that a misspelt or unsupported field never goes unnoticed. Null counts as left out, whatever
/// the field: some clients send null for all that is not set.
struct RequestFields {
    let object: JSONObject
    /// Before a field's name in messages: `messages[0].`.
    let path: String
    private var known: Set<String> = []

    /// Throws `invalidRequest` where `value` is no object.
    init(_ value: JSON, path: String = "") throws {
        guard case .object(let object) = value else {
            let place = path.isEmpty ? "the body" : "'\(path)'"
            throw MartletError(
                .invalidRequest, "\(place) is \(value.kind); send a JSON object", param: path.isEmpty ? nil : path)
        }
        self.object = object
        self.path = path.isEmpty ? "" : path + "."
    }

    /// The field's value; null counts as left out.
    mutating func value(_ name: String) -> JSON? {
        known.insert(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    func param(_ name: String) -> String { path + name }

    func fault(_ name: String, _ problem: String) -> MartletError {
        MartletError(.invalidRequest, "'\(param(name))' \(problem)", param: param(name))
    }

    private func wrongKind(_ name: String, _ value: JSON, _ wanted: String) -> MartletError {
        fault(name, "is \(value.kind) but must be \(wanted); mend it")
    }

    mutating func string(_ name: String) throws -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw wrongKind(name, value, "a string") }
        return text
    }

    mutating func required(_ name: String) throws -> JSON {
        guard let value = value(name) else { throw fault(name, "is missing; add it") }
        return value
    }

    mutating func requiredString(_ name: String) throws -> String {
        let value = try required(name)
        guard let text = value.string else { throw wrongKind(name, value, "a string") }
        return text
    }

    mutating func bool(_ name: String) throws -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else { throw wrongKind(name, value, "true or false") }
        return flag
    }

    mutating func list(_ name: String) throws -> [JSON]? {
        guard let value = value(name) else { return nil }
        guard let list = value.array else { throw wrongKind(name, value, "a list") }
        return list
    }

    mutating func object(_ name: String) throws -> JSON? {
        guard let value = value(name) else { return nil }
        guard value.object != nil else { throw wrongKind(name, value, "an object") }
        return value
    }

    mutating func int(_ name: String, _ range: ClosedRange<Int>) throws -> Int? {
        guard let value = value(name) else { return nil }
        guard let number = value.int, range.contains(number) else {
            guard value.double != nil else { throw wrongKind(name, value, "a whole number") }
            throw fault(
                name,
                "is \(value.serialized().prefix(40)); give a whole number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return number
    }

    mutating func number(_ name: String, _ range: ClosedRange<Double>) throws -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.double, number.isFinite, range.contains(number) else {
            guard value.double != nil else { throw wrongKind(name, value, "a number") }
            throw fault(
                name,
                "is \(value.serialized().prefix(40)); give a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// One of these texts.
    mutating func choice(_ name: String, _ choices: [String]) throws -> String? {
        guard let text = try string(name) else { return nil }
        guard choices.contains(text) else {
            throw fault(name, "is '\(text.prefix(60))'; use \(choices.joined(separator: ", "))")
        }
        return text
    }

    /// Fields that change nothing here and do no harm: read, and left at that.
    mutating func ignore(_ names: String...) { known.formUnion(names) }

    /// A field of the API that is not offered: only the values that ask for nothing are taken.
    mutating func unsupported(_ name: String, neutral: [JSON] = [], _ why: String) throws {
        guard let value = value(name), !neutral.contains(value) else { return }
        throw fault(name, "is not supported here: \(why)")
    }

    /// Refuses what nobody asked for. Throws `invalidRequest` with the field as `param`.
    func finish() throws {
        for key in object.keys where !known.contains(key) && object[key]?.isNull == false {
            let near = known.sorted().min { Nearest.distance($0, key) < Nearest.distance($1, key) }
            let hint = near.map { Nearest.distance($0, key) <= 2 ? " (did you mean '\($0)'?)" : "" } ?? ""
            throw MartletError(
                .invalidRequest, "unknown field '\(path)\(key.prefix(60))'\(hint); leave it out",
                param: path + String(key.prefix(60)))
        }
    }
}
