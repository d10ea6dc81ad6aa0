import Foundation

extension TemplateInterpreter {
    func integer(_ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        let fallback = given[0] ?? .int(0)
        switch value {
        case .undefined(let what): throw TemplateFault("\(what) is undefined and is no integer")
        case .int, .bool: return .int(value.index ?? 0)
        case .float(let number): return truncated(number) ?? fallback
        case .string(let text):
            let trimmed = TemplateText.stripped(text, nil)
            if let number = Self.integer(trimmed, base: given[1]?.index ?? 10) { return .int(number) }
            return Self.double(trimmed).flatMap { truncated($0) } ?? fallback
        default: return fallback
        }
    }

    private static func integer(_ text: String, base: Int) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        let isNegative = text.hasPrefix("-")
        var digits = Substring(isNegative || text.hasPrefix("+") ? text.dropFirst() : Substring(text))
        var radix = base == 0 ? 10 : base
        for (mark, marked) in [("0x", 16), ("0o", 8), ("0b", 2)]
        where digits.lowercased().hasPrefix(mark) && (base == marked || base == 0) {
            digits = digits.dropFirst(2)
            radix = marked
        }
        guard !digits.hasPrefix("_"), !digits.hasSuffix("_"), !digits.hasPrefix("-"), !digits.hasPrefix("+") else {
            return nil
        }
        return Int((isNegative ? "-" : "") + digits.filter { $0 != "_" }, radix: radix)
    }

    private func truncated(_ number: Double) -> TemplateValue? {
        Int(exactly: number.rounded(.towardZero)).map { .int($0) }
    }

    /// Python's `float(text)`: no hexadecimal.
    private static func double(_ text: String) -> Double? {
        guard !text.lowercased().contains("x"), !text.hasPrefix("_"), !text.hasSuffix("_") else { return nil }
        return Double(text.filter { $0 != "_" })
    }

    func float(_ value: TemplateValue, _ fallback: TemplateValue?) throws -> TemplateValue {
        switch value {
        case .undefined(let what): throw TemplateFault("\(what) is undefined and is no number")
        case .string(let text):
            return Self.double(TemplateText.stripped(text, nil)).map { .float($0) } ?? fallback ?? .float(0)
        default: return value.number.map { .float($0.double) } ?? fallback ?? .float(0)
        }
    }

    func rounded(_ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        let digits = given[0]?.index ?? 0
        let method = try given[1]?.text() ?? "common"
        guard let number = value.number else { throw TemplateFault("'round' takes a number, not \(value.typeName)") }
        guard (-300...300).contains(digits) else { throw TemplateFault("'round' takes at most 300 digits") }
        switch method {
        case "common":
            if case .int(let whole) = number, digits >= 0 { return .int(whole) }
            guard number.double.isFinite else { return .float(number.double) }
            guard digits < 0 else {
                return .float(Double(String(format: "%.\(digits)f", number.double)) ?? number.double)
            }
            let scale = pow(10, Double(-digits))
            let result = (number.double / scale).rounded(.toNearestOrEven) * scale
            if case .int = number { return Int(exactly: result).map { .int($0) } ?? .float(result) }
            return .float(result)
        case "ceil", "floor":
            let scale = pow(10, Double(digits))
            return .float((number.double * scale).rounded(method == "ceil" ? .up : .down) / scale)
        default: throw TemplateFault("'round' knows the methods common, ceil and floor, not '\(method)'")
        }
    }
}
