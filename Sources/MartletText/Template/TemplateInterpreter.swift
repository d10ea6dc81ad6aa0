/// Walks a template's tree and writes its text, within a budget.
///
/// Depth of the walk is counted (macros can call themselves), every step is charged, and the clock is read now and then.
final class TemplateInterpreter {
    enum Flow { case onward, broken, continued }

    let budget: ChatTemplate.Budget
    let names: TemplateNames
    let now: Int?
    private let deadline: ContinuousClock.Instant
    private var steps = 0
    private var nextClockCheck = 1024
    private var depth = 0
    var line = 0
    /// The text so far, and above it the texts of blocks that are being captured.
    private var outputs: [String] = [""]
    private var globals: TemplateFrame
    /// Frames that macros hold: cleared at the end, so that no frame and macro hold each other for ever.
    private var capturedFrames: [TemplateFrame] = []
    private(set) var generated: [Range<Int>] = []

    init(names: TemplateNames, budget: ChatTemplate.Budget, now: Int?) {
        self.names = names
        self.budget = budget
        self.now = now
        deadline = ContinuousClock.now + budget.time
        globals = TemplateFrame(parent: nil)
    }

    func run(_ body: [TemplateStatement], context: [(String, TemplateValue)]) throws -> String {
        for function in TemplateFunction.allCases {
            if let name = names.known(function.rawValue) { globals.set(name, .function(function)) }
        }
        for (text, value) in context {
            if let name = names.known(text) { globals.set(name, value) }
        }
        let root = TemplateFrame(parent: globals)
        defer {
            for frame in capturedFrames { frame.clear() }
        }
        _ = try execute(body, root)
        return outputs[0]
    }

    // MARK: Budget

    func charge(_ count: Int) throws {
        steps += count
        guard steps <= budget.steps else {
            throw TemplateFault("the template takes more than \(budget.steps) steps", kind: .budget)
        }
        guard steps >= nextClockCheck else { return }
        nextClockCheck = steps + 1024
        guard ContinuousClock.now < deadline else {
            throw TemplateFault("the template takes longer than \(budget.time)", kind: .budget)
        }
    }

    /// Charges for a value that was made now.
    func charged(_ value: TemplateValue) throws -> TemplateValue {
        try charge(1 + value.size.weight >> 6)
        return value
    }

    func enter() throws {
        depth += 1
        guard depth <= budget.depth else {
            throw TemplateFault("macros and blocks are nested deeper than \(budget.depth) levels", kind: .budget)
        }
        try charge(1)
    }

    func leave() { depth -= 1 }

    // MARK: Output

    func write(_ text: String) throws {
        let size = text.utf8.count
        try charge(1 + size >> 6)
        let last = outputs.count - 1
        guard outputs[last].utf8.count + size <= budget.outputBytes else {
            throw TemplateFault("the text is longer than \(budget.outputBytes) bytes", kind: .budget)
        }
        outputs[last] += text
    }

    /// What `work` writes, as a value instead of output.
    func captured(_ work: () throws -> Void) throws -> String {
        outputs.append("")
        do {
            try work()
        } catch {
            outputs.removeLast()
            throw error
        }
        return outputs.removeLast()
    }

    func keep(_ frame: TemplateFrame) {
        if capturedFrames.last !== frame { capturedFrames.append(frame) }
    }

    // MARK: Statements

    func execute(_ statements: [TemplateStatement], _ frame: TemplateFrame) throws -> Flow {
        try enter()
        defer { leave() }
        for statement in statements {
            line = statement.line
            let flow = try execute(statement, frame)
            if flow != .onward { return flow }
        }
        return .onward
    }

    private func execute(_ statement: TemplateStatement, _ frame: TemplateFrame) throws -> Flow {
        switch statement.kind {
        case .text(let text): try write(text)
        case .output(let expression): try write(try text(of: try evaluate(expression, frame)))
        case .conditional(let branches, let otherwise):
            for branch in branches where try evaluate(branch.test, frame).truth() {
                return try execute(branch.body, frame)
            }
            return try execute(otherwise, frame)
        case .loop(let loop): return try run(loop, frame)
        case .set(let target, let expression): try assign(try evaluate(expression, frame), to: target, frame)
        case .setBlock(let target, let filters, let body):
            let value = try filtered(body, filters, frame)
            try assign(value, to: target, frame)
        case .filterBlock(let filters, let body): try write(try text(of: try filtered(body, filters, frame)))
        case .macro(let syntax):
            keep(frame)
            if let name = names.known(syntax.name) { frame.set(name, .macro(TemplateMacro(syntax, frame: frame))) }
        case .callBlock(let call, let syntax):
            keep(frame)
            try write(try text(of: try evaluateCall(call, caller: TemplateMacro(syntax, frame: frame), frame)))
        case .with(let values, let body):
            let inner = TemplateFrame(parent: frame)
            for (target, expression) in values { try assign(try evaluate(expression, frame), to: target, inner) }
            return try execute(body, inner)
        case .generation(let body):
            let isOutermost = outputs.count == 1
            let start = outputs[0].utf8.count
            let text = try captured { _ = try execute(body, TemplateFrame(parent: frame)) }
            try write(text)
            if isOutermost { generated.append(start..<outputs[0].utf8.count) }
        case .breakLoop: return .broken
        case .continueLoop: return .continued
        }
        return .onward
    }

    private func filtered(
        _ body: [TemplateStatement], _ filters: [TemplatePostfix], _ frame: TemplateFrame
    ) throws -> TemplateValue {
        let text = try captured { _ = try execute(body, TemplateFrame(parent: frame)) }
        return try apply(filters, to: .string(text), frame)
    }

    func text(of value: TemplateValue) throws -> String { try value.text() }

    private func run(_ loop: TemplateLoop, _ frame: TemplateFrame) throws -> Flow {
        var items = try self.items(of: try evaluate(loop.items, frame))
        let inner = TemplateFrame(parent: frame)
        if let filter = loop.filter {
            items = try items.filter { item in
                inner.clear()
                try assign(item, to: loop.target, inner)
                return try evaluate(filter, inner).truth()
            }
        }
        guard !items.isEmpty else { return try execute(loop.otherwise, frame) }
        let name = names.known("loop")
        var outerCount = 0
        if let name, case .loop(let outer)? = lookUp(name, frame) { outerCount = outer.outerCount + 1 }
        let state = TemplateLoopState(items: try TemplateList(items), outerCount: outerCount)
        var hasWholePass = false
        for (index, item) in items.enumerated() {
            try charge(1)
            inner.clear()
            state.index = index
            try assign(item, to: loop.target, inner)
            if let name { inner.set(name, .loop(state)) }
            let flow = try execute(loop.body, inner)
            if flow == .broken { break }
            if flow == .onward { hasWholePass = true }
        }
        // As jinja2 has it: not only where there are no items.
        return hasWholePass ? .onward : try execute(loop.otherwise, frame)
    }

    // MARK: Variables

    func lookUp(_ name: Int, _ frame: TemplateFrame) -> TemplateValue? {
        var current: TemplateFrame? = frame
        while let scope = current {
            if let index = scope.names.firstIndex(of: name) { return scope.values[index] }
            current = scope.parent
        }
        return nil
    }

    func assign(_ value: TemplateValue, to target: TemplateTarget, _ frame: TemplateFrame) throws {
        switch target {
        case .name(let name): frame.set(name, value)
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace)? = lookUp(name, frame) else {
                throw TemplateFault(
                    "'\(names.texts[name]).\(attribute)' cannot be set: only a namespace's attributes can")
            }
            try set(attribute, of: namespace, to: value)
        case .tuple(let targets):
            let items = try self.items(of: value)
            guard items.count == targets.count else {
                throw TemplateFault("\(items.count) values cannot be unpacked into \(targets.count) names")
            }
            for (item, target) in zip(items, targets) { try assign(item, to: target, frame) }
        }
    }

    func set(_ attribute: String, of namespace: TemplateNamespace, to value: TemplateValue) throws {
        guard !attribute.hasPrefix("_") else {
            throw TemplateFault("a namespace's attribute must not start with '_', as '\(attribute)' does")
        }
        guard value.size.depth < TemplateSize.maximumDepth else {
            throw TemplateFault("a namespace cannot stand inside a namespace")
        }
        namespace[attribute] = value
    }

    /// What a loop walks over.
    func items(of value: TemplateValue) throws -> [TemplateValue] {
        switch value {
        case .list(let list), .tuple(let list), .range(let list, _): return list.items
        case .dictionary(let dictionary): return dictionary.keys
        case .lazy(let list): return list.take()
        case .undefined: return []
        case .hidden(let name): throw TemplateValue.isHidden(name)
        case .string(let text):
            try charge(text.utf8.count >> 2)
            return text.unicodeScalars.map { .string(String($0)) }
        default: throw TemplateFault("\(value.typeName) cannot be walked over")
        }
    }
}

extension TemplateValue {
    /// Python's `bool()`; what the sandbox hides has none.
    func truth() throws -> Bool {
        if case .hidden(let name) = self { throw Self.isHidden(name) }
        return isTrue
    }
}
