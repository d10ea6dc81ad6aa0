import Foundation

extension TemplateInterpreter {
    func call(_ callee: TemplateValue, _ arguments: TemplateCallArguments) throws -> TemplateValue {
        switch callee {
        case .function(let function): return try charged(try call(function, arguments))
        case .method(let receiver, let name): return try charged(try call(name, of: receiver, arguments))
        case .macro(let macro): return try call(macro, arguments, caller: nil)
        case .joiner(let joiner):
            defer { joiner.isUsed = true }
            return .string(joiner.isUsed ? joiner.separator : "")
        case .loop: throw TemplateFault("a recursive loop is not supported; write a macro that calls itself")
        case .undefined(let what): throw TemplateFault("\(what) is undefined and cannot be called")
        case .hidden(let name): throw TemplateValue.isHidden(name)
        default: throw TemplateFault("\(callee.typeName) cannot be called")
        }
    }

    func call(
        _ macro: TemplateMacro, _ arguments: TemplateCallArguments, caller: TemplateMacro?
    ) throws -> TemplateValue {
        try enter()
        defer { leave() }
        let syntax = macro.syntax
        let values = try arguments.matched(syntax.parameterNames, of: syntax.name)
        let frame = TemplateFrame(parent: macro.frame)
        if let name = names.known("caller") {
            frame.set(name, caller.map { .macro($0) } ?? .undefined("'caller'"))
        }
        // What is more than the parameters is refused.
        if let name = names.known("varargs") { frame.set(name, .tuple(try TemplateList([]))) }
        if let name = names.known("kwargs") { frame.set(name, .dictionary(TemplateDictionary())) }
        let firstDefault = values.count - syntax.defaults.count
        for (index, value) in values.enumerated() {
            if let value {
                frame.set(syntax.parameters[index], value)
            } else if index >= firstDefault {
                frame.set(syntax.parameters[index], try evaluate(syntax.defaults[index - firstDefault], frame))
            } else {
                frame.set(
                    syntax.parameters[index], .undefined("the parameter '\(syntax.parameterNames[index])' of a macro"))
            }
        }
        let outer = line
        let text = try captured { _ = try execute(syntax.body, frame) }
        line = outer
        return .string(text)
    }

    private func call(_ function: TemplateFunction, _ arguments: TemplateCallArguments) throws -> TemplateValue {
        switch function {
        case .range: return try range(arguments)
        case .dict: return .dictionary(try dictionary(arguments))
        case .namespace:
            let namespace = TemplateNamespace()
            let dictionary = try dictionary(arguments)
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                try set(try key.text(), of: namespace, to: value)
            }
            return .namespace(namespace)
        case .cycler:
            guard !arguments.positional.isEmpty else { throw TemplateFault("'cycler' needs at least one value") }
            return .cycler(TemplateCycler(try TemplateList(arguments.positional)))
        case .joiner:
            let values = try arguments.matched(["sep"], of: "joiner")
            return .joiner(TemplateJoiner(try values[0]?.text() ?? ", "))
        case .raiseException:
            let values = try arguments.matched(["message"], of: "raise_exception")
            throw TemplateFault(try values[0]?.text() ?? "", kind: .raised)
        case .strftimeNow:
            let values = try arguments.matched(["format"], of: "strftime_now")
            return .string(try time(try values[0]?.text() ?? ""))
        }
    }

    private func dictionary(_ arguments: TemplateCallArguments) throws -> TemplateDictionary {
        var dictionary = TemplateDictionary()
        if case .dictionary(let given)? = arguments.positional.first {
            dictionary = given
        } else if let given = arguments.positional.first {
            for pair in try items(of: given) {
                let parts = try items(of: pair)
                guard parts.count == 2 else { throw TemplateFault("'dict' takes pairs of a key and a value") }
                try dictionary.set(parts[0], parts[1])
            }
        }
        for (name, value) in arguments.named { try dictionary.set(.string(name), value) }
        return dictionary
    }

    private func range(_ arguments: TemplateCallArguments) throws -> TemplateValue {
        let bounds = try arguments.positional.map { value in
            guard let bound = value.index else { throw TemplateFault("'range' takes integers, not \(value.typeName)") }
            return bound
        }
        guard (1...3).contains(bounds.count), arguments.named.isEmpty else {
            throw TemplateFault("'range' takes one to three integers")
        }
        let start = bounds.count > 1 ? bounds[0] : 0
        let stop = bounds.count > 1 ? bounds[1] : bounds[0]
        let step = bounds.count > 2 ? bounds[2] : 1
        guard step != 0 else { throw TemplateFault("the step of 'range' must not be 0") }
        let (distance, isOver) = stop.subtractingReportingOverflow(start)
        let isEmpty = step > 0 ? start >= stop : start <= stop
        guard isEmpty || (!isOver && distance.magnitude / step.magnitude < Self.maximumRange) else {
            throw TemplateFault("'range' gives more than \(Self.maximumRange) numbers", kind: .budget)
        }
        let numbers = isEmpty ? [] : stride(from: start, to: stop, by: step).map { TemplateValue.int($0) }
        try charge(numbers.count)
        let text = "range(\(start), \(stop)" + (step == 1 ? ")" : ", \(step))")
        return .range(try TemplateList(numbers), text: text)
    }

    private static var maximumRange: UInt { 100_000 }

    private func time(_ format: String) throws -> String {
        guard format.utf8.count <= 256, !format.utf8.contains(0) else {
            throw TemplateFault("the format of 'strftime_now' is too long")
        }
        guard !format.isEmpty else { return "" }
        var seconds = now.map { time_t($0) } ?? Foundation.time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = buffer.withUnsafeMutableBytes { bytes in
            strftime(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count, format, &parts)
        }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}
