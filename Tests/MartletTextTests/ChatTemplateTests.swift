import Foundation
import MartletText
import MartletWire
import Testing

/// What the thread leaves; read only after it is done.
private final class Box<Value>: @unchecked Sendable {
    var value: Value?
}

/// Runs `work` on a thread with the small stack that worker threads have, and gives back what it made.
private func onSmallStack<Result: Sendable>(_ work: @escaping @Sendable () -> Result) -> Result? {
    let box = Box<Result>()
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
        box.value = work()
        done.signal()
    }
    thread.stackSize = 512 << 10
    thread.start()
    done.wait()
    return box.value
}

struct ChatTemplateTests {
    private static let user: JSON = ["role": "user", "content": "Hi"]

    /// What went wrong, nil where nothing did, and how long it took.
    private static func rendered(
        _ source: String, budget: ChatTemplate.Budget, messages: [JSON] = [user]
    ) -> (result: MartletError?, time: Duration)? {
        onSmallStack {
            computed {
                do {
                    _ = try ChatTemplate(source).render(messages: messages, addGenerationPrompt: true, budget: budget)
                    return nil
                } catch {
                    return error as? MartletError
                }
            }
        }
    }

    /// The message of the failure; nil where there is none. There is more time than usual, for a machine that is busy.
    private static func failure(_ source: String, budget: ChatTemplate.Budget = .init(time: .seconds(60)))
        -> MartletError?
    { rendered(source, budget: budget)?.result }

    @Test func aTemplateThatRaisesIsTheRequestsFault() throws {
        let error = try #require(Self.failure("\n{{ raise_exception('no ' ~ messages[0].role) }}"))
        #expect(error.code == .invalidRequest)
        #expect(error.message.contains("no user"))
    }

    @Test func faultsNameTheirLine() throws {
        let syntax = try #require(Self.failure("a\nb\n{% if %}"))
        #expect(syntax.code == .invalidData && syntax.message.contains("line 3"))
        let running = try #require(Self.failure("a\n\n{{ messages[0].nothing.more }}"))
        #expect(running.code == .invalidData && running.message.contains("line 3"))
        #expect(running.message.contains("'nothing'"))
    }

    @Test(arguments: [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.__class__.__base__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ (messages | attr('__class__')).x }}",
        "{{ messages[0]['__class__'].x }}", "{{ self.__init__ }}{{ self._x.y }}", "{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "{{ messages.append(1) }}",
        "{{ messages[0].update({}) }}",
        "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}", "{{ lipsum.__globals__ }}",
        "{{ request.application }}", "{% for x in messages recursive %}{{ loop(messages) }}{% endfor %}",
    ])
    func attributeWalksReachNothing(source: String) {
        #expect(Self.failure(source) != nil)
    }

    @Test(arguments: [
        "{{ range(10 ** 9) }}", "{% for i in range(10 ** 9) %}{% endfor %}", "{{ range(-(10 ** 18), 10 ** 18) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{% for i in [1] %}{% if true %}{{ ((((f((x)))))) ~ '' }}{% endif %}{% endfor %}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{% call g() %}{{ f(x) }}{% endcall %}{% endmacro %}{% macro g() %}{{ caller() }}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{% filter upper %}{% set y %}{{ [x, f(x)] | map('string') | join }}{% endset %}{{ y }}{% endfilter %}{% endmacro %}{{ f(1) }}",
        "{{ 'x' * 10 ** 12 }}", "{{ [0] * 10 ** 12 }}", "{{ 'abc'.replace('', 'x' * 10 ** 6) * 999 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace(l={}) %}{% for i in range(99999) %}{% set ns.l = {'a': ns.l} %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.a = ns %}", "{% set ns = namespace() %}{{ [ns] }}",
        "{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}", "{{ 9223372036854775807 + 1 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ 10 ** 30 }}", "{{ 9223372036854775808 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ '%99999999d' % 1 }}", "{{ 'x'.center(10 ** 12) }}",
        "{{ 'x' | indent(10 ** 12) }}", "{{ messages | tojson(indent=10 ** 12) }}", "{{ 1.5 | round(10 ** 12) }}",
        "{{ messages | batch(10 ** 12) }}", "{{ messages | slice(10 ** 12) }}", "{{ strftime_now('%c' * 10 ** 6) }}",
    ])
    func hostileTemplatesAreStopped(source: String) throws {
        let (error, time) = try #require(Self.rendered(source, budget: .default))
        #expect(error != nil && time < .seconds(4))
    }

    @Test func deepNestingIsRefusedBeforeTheStackIsInDanger() {
        let count = 100_000
        for (open, close) in [("(", ")"), ("[", "]"), ("{1:", "}"), ("-", ""), ("not ", ""), ("f(", ")"), ("a[", "]")] {
            let source =
                "{{ " + String(repeating: open, count: count) + "1" + String(repeating: close, count: count) + " }}"
            // `not` has no depth: its answer is a value.
            #expect((Self.failure(source) == nil) == (open == "not "), "\(open)")
        }
        for (open, close) in [("{% if 1 %}", "{% endif %}"), ("{% for x in [1] %}", "{% endfor %}")] {
            let source = String(repeating: open, count: 10_000) + String(repeating: close, count: 10_000)
            #expect(Self.failure(source)?.message.contains("nested") == true)
        }
        #expect(Self.failure("{{ 1" + String(repeating: " if 1 else 2", count: 10_000) + " }}") != nil)
        #expect(Self.failure("{{ a" + String(repeating: ".a", count: 10_000) + " is defined }}") != nil)
        #expect(Self.failure("{{ 1" + String(repeating: " + 1", count: 100_000) + " }}") == nil)
        let branches = String(repeating: "{% elif 0 %}", count: 20_000)
        #expect(Self.failure("{% if 0 %}" + branches + "{% endif %}") == nil)
    }

    /// The deepest tree that the parser lets through, walked as deep as the budget lets it, on a small stack.
    @Test func theDeepestThatIsAllowedFitsTheStack() {
        let depth = 55
        let call =
            String(repeating: "(1 + [", count: depth / 2) + "f(n)" + String(repeating: "] | length)", count: depth / 2)
        let source = "{% macro f(n) %}{{ \(call) }}{% endmacro %}{{ f(3) }}"
        #expect(Self.failure(source)?.message.contains("nested") == true)
        let loops =
            "{% macro f(n) %}{% for i in [1] %}{% filter upper %}{% with a = f(n) %}{{ a }}{% endwith %}{% endfilter %}{% endfor %}{% endmacro %}{{ f(3) }}"
        #expect(Self.failure(loops)?.message.contains("nested") == true)
    }

    @Test("M10, I11: budgets of steps, output and time hold") func budgetsOfStepsOutputAndTimeHold() throws {
        let loop = "{% for i in range(50000) %}{{ i }}{% endfor %}"
        #expect(Self.failure(loop) == nil)
        #expect(Self.failure(loop, budget: .init(steps: 1000))?.message.contains("steps") == true)
        #expect(Self.failure(loop, budget: .init(outputBytes: 1000))?.message.contains("1000 bytes") == true)
        #expect(Self.failure(loop, budget: .init(time: .zero))?.message.contains("longer") == true)
        // A sum of texts makes all the texts on the way.
        let sum = "{{ (['aaaaaaaaaaaaaaaa'] * 200000)|sum(start='') }}"
        #expect(Self.failure(sum, budget: .init(time: .seconds(600)))?.message.contains("steps") == true)
    }

    @Test func whatAssistantsSaidIsMarked() throws {
        let template = try ChatTemplate(
            "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
        )
        let messages: [JSON] = [
            Self.user, ["role": "assistant", "content": "é"], Self.user, ["role": "assistant", "content": "b"],
        ]
        let rendering = try template.rendering(messages: messages, addGenerationPrompt: false)
        let parts = rendering.generated.map { String(decoding: Array(rendering.text.utf8)[$0], as: UTF8.self) }
        #expect(parts == ["é!", "b!"])
    }

    @Test func variablesOfTheRequestAreSeenAndToolsAreNoneWithoutAny() throws {
        let template = try ChatTemplate(
            "{{ bos_token }}{{ tools is none }}{{ enable_thinking | default('x') }}{{ add_generation_prompt }}")
        #expect(
            try template.render(messages: [], addGenerationPrompt: true, variables: ["bos_token": "<s>"])
                == "<s>TruexTrue")
        let tools: [JSON] = [["name": "f"]]
        #expect(
            try template.render(
                messages: [], tools: tools, addGenerationPrompt: false, variables: ["enable_thinking": false])
                == "FalseFalseFalse")
    }

    /// Counted in steps, which do not depend on what else the machine does.
    @Test func workGrowsWithTheLengthOfTheConversation() throws {
        let template = try ChatTemplate(
            "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% if not loop.last %}</>{% endif %}{% endfor %}"
        )
        func steps(_ count: Int) -> Int {
            let messages = [JSON](repeating: ["role": "user", "content": "a word or two"], count: count)
            var (low, high) = (0, 10_000_000)
            while low + 1 < high {
                let middle = (low + high) / 2
                let text = try? template.render(
                    messages: messages, addGenerationPrompt: true,
                    budget: .init(steps: middle, time: .seconds(30)))
                if text == nil { low = middle } else { high = middle }
            }
            return high
        }
        let (few, many) = (steps(200), steps(2000))
        #expect(few > 1000)
        #expect(many < few * 12)
    }
}
