import Foundation
import MartletText
import MartletWire
import Testing

struct ConstraintTests {
    private static let index = TokenMaskIndex(ConstraintWalk.vocabulary())

    private static let schemas = [
        #"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","age","tags"],"additionalProperties":false}"#,
        #"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"},"c":{"type":"boolean"}},"required":["b"]}"#,
        #"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"null"}},"additionalProperties":false}"#,
        #"{"type":"object","properties":{"kind":{"enum":["x","xy","é\"\\\n",1,null,true,{"k":[1,"v"]}]}},"required":["kind"],"additionalProperties":false}"#,
        #"{"type":"array","items":{"type":"integer","minimum":-12,"maximum":105},"minItems":1,"maxItems":5}"#,
        #"{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":{"type":"boolean"},"minItems":1,"maxItems":6}"#,
        #"{"type":"array","prefixItems":[{"type":"null"},{"type":"integer"}],"minItems":2,"maxItems":2}"#,
        #"{"type":"string","minLength":2,"maxLength":5}"#, #"{"type":"string","maxLength":0}"#,
        #"{"type":"string","pattern":"^[A-Z]{2}-\\d{3,5}(x|yz)?$"}"#, #"{"type":"string","pattern":"b+c"}"#,
        #"{"type":"string","pattern":"^[^\"a]*$"}"#, #"{"type":"string","pattern":"^(\\w+\\s)?\\S$|^q"}"#,
        #"{"type":"string","format":"date-time"}"#, #"{"type":"string","format":"email"}"#,
        #"{"type":"string","format":"uuid"}"#, #"{"type":"string","format":"ipv4"}"#,
        #"{"type":["string","null","integer"]}"#, #"{"type":"string","nullable":true,"maxLength":3}"#,
        #"{"anyOf":[{"type":"string"},{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}]}"#,
        #"{"oneOf":[{"type":"object","properties":{"t":{"const":"a"},"v":{"type":"string"}},"required":["t","v"]},{"type":"object","properties":{"t":{"const":"b"},"v":{"type":"number"}},"required":["t","v"]}]}"#,
        #"{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"integer","minimum":0}},"required":["b"]}]}"#,
        ##"{"$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["value","next"],"additionalProperties":false}},"$ref":"#/$defs/node"}"##,
        ##"{"type":"object","properties":{"label":{"type":"string","maxLength":4},"children":{"type":"array","items":{"$ref":"#"}}},"required":["label","children"],"additionalProperties":false}"##,
        #"{"type":"number","minimum":0,"maximum":1}"#, #"{"type":"number","minimum":0.25,"exclusiveMaximum":0.275}"#,
        #"{"type":"number","exclusiveMinimum":-1.5,"maximum":2.05}"#, #"{"type":"number","maximum":-0.5}"#,
        #"{"type":"integer","exclusiveMinimum":99}"#, #"{"type":"integer","minimum":-5,"exclusiveMaximum":0}"#,
        #"{"type":"integer","minimum":1.5,"maximum":7.5}"#, #"{"type":"number","minimum":9,"exclusiveMaximum":1000}"#,
        #"{"enum":["a","b",3]}"#, #"{"const":{"a":[1,{"b":null}]}}"#, #"{"type":"boolean"}"#,
        #"{"type":"object","properties":{},"additionalProperties":false}"#,
        #"{"type":"array","items":{"type":"array","items":{"type":"number"},"maxItems":2},"maxItems":3}"#,
        #"{"properties":{"x":{"type":"string","title":"X","description":"d","default":"q"}},"required":["x"],"title":"T"}"#,
        ##"{"$defs":{"c":{"type":"object","properties":{"k":{"const":"c","default":"c","type":"string"},"v":{"type":"integer"}},"required":["v"]},"d":{"type":"object","properties":{"k":{"const":"d","default":"d","type":"string"}}}},"type":"object","properties":{"p":{"discriminator":{"propertyName":"k"},"oneOf":[{"$ref":"#/$defs/c"},{"$ref":"#/$defs/d"}]}},"required":["p"],"additionalProperties":false}"##,
        // As Pydantic and Zod write addresses, identifiers, decimals and the like.
        #"{"anyOf":[{"type":"number"},{"type":"string","pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"},{"type":"null"}]}"#,
        #"{"type":"string","format":"uri","minLength":1,"maxLength":2083}"#,
        #"{"type":"string","format":"email","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"}"#,
        #"{"type":"string","format":"uuid","pattern":"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000)$"}"#,
        #"{"type":"string","format":"base64","pattern":"^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$"}"#,
        #"{"type":"string","pattern":"^[a-z]+$","minLength":1}"#, #"{"type":"string","pattern":"x","minLength":1}"#,
        #"{"type":"string","pattern":"^[a-z][a-z0-9_]*$","minLength":3,"maxLength":8}"#,
        #"{"type":"string","pattern":"^[A-Z]{3}$|^\\d{2,6}$","minLength":3,"maxLength":5}"#,
        #"{"type":"string","pattern":"^.*$","minLength":2,"maxLength":4}"#,
    ]

    @Test(arguments: schemas)
    func whatComesOutValidates(text: String) throws {
        let schema = try JSONParser.parse(text)
        let machine = try ConstraintWalk.machine(.jsonSchema(schema), Self.index)
        for seed in 0..<40 {
            let written = try ConstraintWalk.walk(machine, seed: UInt64(seed), limit: seed % 2 == 0 ? 25 : 120).text
            let value = try JSONParser.parse(written, limits: .trusted)
            let holds = try SchemaCheck(root: schema).holds(value, schema)
            #expect(holds, "\(String(decoding: written, as: UTF8.self))")
        }
    }

    /// Keys without a name may repeat: any JSON reader takes them, and the last counts.
    @Test(arguments: [
        #"{"type":"object"}"#, "{}", #"{"type":"object","propertyNames":{"type":"string","title":"Key"}}"#,
        #"{"type":"object","properties":{"a":{"type":"integer"},"ab":{"const":1}},"required":["a"],"additionalProperties":{"type":"string"}}"#,
    ])
    func whatHasFreeKeysParses(text: String) throws {
        let schema = try JSONParser.parse(text)
        for constraint in [Constraint.jsonSchema(schema), .jsonObject] {
            let machine = try ConstraintWalk.machine(constraint, Self.index)
            for seed in 0..<60 {
                let written = try ConstraintWalk.walk(machine, seed: UInt64(seed), limit: 150).text
                let data = Data(written)
                let value = try JSONSerialization.jsonObject(with: data, options: [.fragmentsAllowed])
                if case .jsonObject = constraint { #expect(value is [String: Any]) }
                guard case .jsonSchema = constraint, text.contains("ab"), let object = value as? [String: Any] else {
                    continue
                }
                #expect(object["a"] is NSNumber)
                for (key, item) in object where key != "a" { #expect(key == "ab" ? item is NSNumber : item is String) }
            }
        }
    }

    @Test func whatPythonWritesIsAccepted() throws {
        let schema = try JSONParser.parse(Self.schemas[0])
        let machine = try ConstraintWalk.machine(.jsonSchema(schema), Self.index)
        #expect(try ConstraintWalk.accepts(machine, #"{"name": "é\u00e9\ud83d\ude00", "age": -3, "tags": ["a", "b"]}"#))
        #expect(try ConstraintWalk.accepts(machine, #"{"name":"","age":0,"tags":[]}"#))
        for wrong in [
            #"{"age": 1, "name": "a", "tags": []}"#, #"{"name": "a"}"#, #"{"name": "a", "age": 1.5, "tags": []}"#,
            #"{"name": "a", "age": 01, "tags": []}"#, #"{"name": "a",  "age": 1, "tags": []}"#, "{\"name\": \"a\nb\"",
            #"{"name": "\ud83d"#, #"{"name": "a", "age": 1, "tags": [], "x": 1}"#,
        ] { #expect(try !ConstraintWalk.accepts(machine, wrong), "\(wrong)") }
        let object = try ConstraintWalk.machine(.jsonObject, Self.index)
        #expect(try ConstraintWalk.accepts(object, #"{"a": [1, 2.5e-3, {"b": {}}, [], "x"], "c": null}"#))
        #expect(try !ConstraintWalk.accepts(object, "[1]"))
    }

    @Test func numbersAtTheirBounds() throws {
        let cases: [(String, [String], [String])] = [
            (
                #"{"type":"integer","minimum":-12,"maximum":105}"#, ["-12", "-9", "0", "99", "105"],
                ["-13", "106", "-20", "1.0", "1000", "00"]
            ),
            (
                #"{"type":"number","minimum":0,"maximum":1}"#, ["0", "0.5", "1", "1.0", "0.001"],
                ["-0.1", "1.1", "2", "1.001", "-1"]
            ),
            (
                #"{"type":"number","exclusiveMinimum":0,"maximum":2.5}"#, ["0.1", "0.001", "2.5", "2.50", "1"],
                ["0", "0.0", "2.51", "3"]
            ),
            (
                #"{"type":"number","minimum":-2.5,"maximum":-0.25}"#, ["-2.5", "-1", "-0.25", "-0.3"],
                ["-2.6", "-0.2", "0", "1"]
            ),
            (#"{"type":"integer","minimum":9007199254740991}"#, ["9007199254740991"], ["9007199254740990", "1"]),
        ]
        for (schema, good, bad) in cases {
            let machine = try ConstraintWalk.machine(.jsonSchema(try JSONParser.parse(schema)), Self.index)
            for text in good { #expect(try ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
            for text in bad { #expect(try !ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
        }
    }

    @Test(
        arguments: [
            ("[a-c]+\\d{2}", ["a12", "abc99"], ["12", "a1", "a123"]), ("(yes|no)", ["yes", "no"], ["y", "yesno"]),
            (".{2,3}", ["ab", "日本語"], ["a", "abcd", "a\n"]), ("(a|b*)*c", ["c", "abbac"], ["ab", ""]),
            ("\\p", [], []), ("(?:x?){3}y", ["y", "xxxy"], ["xxxxy"]), ("[^\\W\\d]+", ["ab_"], ["a1", "é"]),
            ("^a$|^b$", ["a", "b"], ["ab"]),
        ] as [(String, [String], [String])])
    func patternsMatchFromEndToEnd(pattern: String, good: [String], bad: [String]) throws {
        guard !good.isEmpty else {
            #expect(throws: MartletError.self) { try CompiledConstraint(.regex(pattern)) }
            return
        }
        let machine = try ConstraintWalk.machine(.regex(pattern), Self.index)
        for text in good { #expect(try ConstraintWalk.accepts(machine, text), "\(text)") }
        for text in bad { #expect(try !ConstraintWalk.accepts(machine, text), "\(text)") }
    }

    @Test(arguments: [
        #"{"type":"string","pattern":"^[a-z](?:[a-z-]*[a-z])?$","maxLength":63}"#,
        #"{"type":"string","pattern":"^(\\w{2,}|a)$","maxLength":9}"#,
        #"{"type":"string","pattern":"[a-z]","maxLength":9}"#,
        #"{"type":"string","pattern":"^[a-z]{3}$","minLength":4}"#,
        #"{"type":"string","format":"email","maxLength":20}"#, #"{"type":"object","propertyNames":{"pattern":"^a"}}"#,
        #"{"anyOf":[{"type":"string","pattern":"(?!a)"},{"type":"null"}]}"#,
        #"{"type":"string","format":"email","pattern":"(?!a)"}"#, #"{"type":"string","format":7}"#,
        #"{"type":"array","uniqueItems":true}"#, #"{"not":{}}"#, #"{"type":"object","patternProperties":{}}"#,
        #"{"if":{},"then":{}}"#, #"{"type":"number","multipleOf":3}"#, #"{"type":"string","format":"nonsense"}"#,
        #"{"type":"strin"}"#, #"{"type":5}"#, #"{"type":"string","pattern":"(?=a)"}"#,
        #"{"type":"string","pattern":"(a)\\1"}"#,
        #"{"type":"string","pattern":"["}"#, #"{"type":"string","pattern":"a{3,1}"}"#,
        #"{"type":"string","pattern":"*"}"#,
        ##"{"$ref":"#/nowhere"}"##, #"{"$ref":"http://x/y"}"#, ##"{"$ref":"#"}"##,
        ##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
        ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"],"additionalProperties":false}"##,
        #"{"type":"integer","minimum":5,"maximum":4}"#, #"{"type":"array","minItems":3,"maxItems":2}"#,
        #"{"enum":[]}"#, #"{"type":"object","required":["x"],"properties":{},"additionalProperties":false}"#,
        #"{"oneOf":[{"type":"string"},{"type":"string","maxLength":3}]}"#, "false",
        #"{"properties":{"a":{"minimun":1}}}"#,
        #"{"allOf":[{"type":"string"},{"type":"integer"}]}"#, #"[1]"#, #"{"type":"string","minLength":-1}"#,
    ])
    func whatCannotBeKeptIsRefused(text: String) throws {
        let schema = try JSONParser.parse(text)
        let error = #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(schema)) }
        #expect(error?.code == .invalidRequest)
    }

    @Test("I08: a count that no answer can reach is refused, also where it may be left out")
    func aCountThatNoAnswerCanReachIsRefused() throws {
        for text in [
            #"{"type":"array","items":{"type":"string"},"minItems":4611686018427387904}"#,
            #"{"type":"string","minLength":1000000000}"#,
            #"{"properties":{"a":{"type":"array","items":{"type":"array","minItems":100000},"minItems":100000}}}"#,
        ] {
            let schema = try JSONParser.parse(text)
            let error = #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(schema)) }
            #expect(error?.code == .invalidRequest && error?.message.contains("lower") == true, "\(text)")
        }
        _ = try CompiledConstraint(.jsonSchema(["type": "array", "items": ["type": "string"], "minItems": 1_000_000]))
    }

    @Test func aRecordOfZodHasItsValues() throws {
        let machine = try ConstraintWalk.machine(
            .jsonSchema([
                "type": "object", "propertyNames": ["type": "string"], "additionalProperties": ["type": "integer"],
            ]), Self.index)
        #expect(try ConstraintWalk.accepts(machine, #"{"a": 1, "日本": 2}"#))
        #expect(try !ConstraintWalk.accepts(machine, #"{"a": "b"}"#))
    }

    /// A length beside a pattern is held to by the count of the one character that may come more or less often.
    @Test func aPatternHoldsItsLength() throws {
        let cases: [(String, [String], [String])] = [
            (
                #"{"type":"string","pattern":"^[a-z][a-z0-9]*$","minLength":3,"maxLength":5}"#,
                [#""abc""#, #""a1234""#], [#""ab""#, #""a12345""#, #""1ab""#]
            ),
            (#"{"type":"string","pattern":"^é*$","maxLength":2}"#, ["\"\"", #""éé""#], [#""ééé""#]),
            (#"{"type":"string","pattern":"^a{2,9}b$","minLength":4}"#, [#""aaab""#, #""aaaaaaaaab""#], [#""aab""#]),
        ]
        for (schema, good, bad) in cases {
            let machine = try ConstraintWalk.machine(.jsonSchema(try JSONParser.parse(schema)), Self.index)
            for text in good { #expect(try ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
            for text in bad { #expect(try !ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
        }
    }

    @Test func anUnknownKeywordIsNamed() throws {
        let schema = try JSONParser.parse(#"{"properties":{"a":{"minimun":1}}}"#)
        let error = #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(schema)) }
        #expect(error?.message.contains("'minimun'") == true && error?.message.contains("/a") == true)
    }

    @Test("I08: huge and catastrophic grammars are answered within a second")
    func hugeAndCatastrophicGrammarsAreAnsweredWithinASecond() throws {
        let wide = JSON.object([
            "type": "object",
            "properties": .object(JSONObject((0..<60_000).map { ("p\($0)", ["type": "string"] as JSON) })),
        ])
        var deep: JSON = ["type": "string"]
        for _ in 0..<5000 { deep = ["type": "array", "items": deep] }
        let long = JSON.object([
            "enum": .array((0..<10).map { .string(String(repeating: "x", count: 1 << 20) + "\($0)") })
        ])
        let patterns = [
            "^(a+)+$", "^(a|a)*b$", "(x{1,1000}){1,1000}", "((a{0,100}){0,100}){0,100}", "(.*a){200}",
            "(a|aa){1,100000}b",
            "^(([a-z])+.)+[A-Z]([a-z])+$", String(repeating: "(", count: 9000) + String(repeating: ")", count: 9000),
            String(repeating: "a?", count: 5000), "(\\w|\\d|[a-z]){1,5000}(\\w|\\d){1,5000}x",
        ]
        let schemas = [wide, deep, long] + patterns.map { ["type": "string", "pattern": .string($0)] as JSON }
        for schema in schemas {
            let (compiled, time) = computed { Result { try CompiledConstraint(.jsonSchema(schema)) } }
            #expect(time < .seconds(2))
            let (_, walked) = try computed {
                do {
                    let machine = ConstraintMachine(try compiled.get(), Self.index)
                    _ = try ConstraintWalk.walk(machine, seed: 3, limit: 20)
                } catch let error as MartletError {
                    #expect(error.code == .invalidRequest)
                }
            }
            #expect(time + walked < .seconds(3))
        }
    }

    @Test func largeEnumsAndLongStringsAreFollowed() throws {
        let names = (0..<5000).map { JSON.string("value-\($0)") }
        let machine = try ConstraintWalk.machine(.jsonSchema(["enum": .array(names)]), Self.index)
        #expect(try ConstraintWalk.accepts(machine, "\"value-4999\""))
        #expect(try !ConstraintWalk.accepts(machine, "\"value-5000\""))
        let long = try ConstraintWalk.machine(
            .jsonSchema(["type": "string", "minLength": 3000, "maxLength": 4000]), Self.index)
        let text = try ConstraintWalk.walk(long, seed: 5, limit: 5).text
        let count = try JSONParser.parse(text).string?.unicodeScalars.count ?? 0
        #expect((3000...4000).contains(count))
    }

    @Test func aStateIsAValueAndRefusesWhatItsMaskLacks() throws {
        let machine = try ConstraintWalk.machine(.regex("ab|cd"), Self.index)
        let start = try machine.start()
        var one = start
        var other = start
        try one.advance(token: 0x61)
        try other.advance(token: 0x63)
        #expect(!one.canEnd && one.closingDistance == 1 && start.closingDistance == 2)
        #expect(throws: MartletError.self) { try one.advance(token: 0x64) }
        #expect(throws: MartletError.self) { try one.advance(token: ConstraintWalk.end) }
        try one.advance(token: 0x62)
        #expect(one.canEnd && one.mustEnd && !one.hasEnded)
        var words: [UInt64] = []
        try one.mask(into: &words)
        #expect(words.reduce(0) { $0 + $1.nonzeroBitCount } == 1)
        try one.advance(token: ConstraintWalk.end)
        #expect(one.hasEnded)
    }

    /// Long generations outgrow the tables, which are then made afresh under the running sequences.
    @Test func aLongAnswerOutlivesItsTables() throws {
        let machine = try ConstraintWalk.machine(
            .jsonSchema(["type": "array", "items": ["type": "string", "maxLength": 30_000], "maxItems": 9]), Self.index)
        var state = try machine.start()
        try state.advance(token: 0x5B)
        try state.advance(token: 0x22)
        for _ in 0..<30_000 { try state.advance(token: 0x61) }
        #expect(throws: MartletError.self) { try state.advance(token: 0x61) }
        try state.advance(token: 0x22)
        #expect(state.closingDistance == 1)
        try state.advance(token: 0x5D)
        #expect(state.mustEnd)
    }

    @Test func equalConstraintsShareAMachineAndOldOnesLeave() throws {
        let cache = ConstraintCache(Self.index, capacity: 2)
        let schema: JSON = ["type": "object", "properties": ["b": [:], "a": [:]]]
        let turned: JSON = ["type": "object", "properties": ["a": [:], "b": [:]]]
        let first = try cache.machine(for: .jsonSchema(schema))
        #expect(try cache.machine(for: .jsonSchema(schema)) === first)
        // The order of properties is the order in which they are written.
        #expect(try cache.machine(for: .jsonSchema(turned)) !== first)
        _ = try cache.machine(for: .regex("a"))
        #expect(cache.count == 2)
        #expect(try cache.machine(for: .jsonSchema(schema)) !== first)
    }
}
