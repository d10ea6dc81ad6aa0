import MartletText
import MartletWire
import Testing

/// Schemas at the edges of what is kept: what is written still fits, and what cannot be read in time is refused.
struct HostileSchemaTests {
    private static let index = TokenMaskIndex(ConstraintWalk.vocabulary(600))

    private static func expect(_ schema: String, accepts good: [String], refuses bad: [String]) throws {
        let machine = try ConstraintWalk.machine(.jsonSchema(try JSONParser.parse(schema)), index)
        for text in good { #expect(try ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
        for text in bad { #expect(try !ConstraintWalk.accepts(machine, text), "\(text) of \(schema)") }
    }

    @Test(
        arguments: [
            (#"{"type":"number","maximum":1e15}"#, ["1000000000000000", "-5"], ["1000000000000001", "9e99"]),
            (#"{"type":"integer","maximum":3.0e15}"#, ["3000000000000000", "7"], ["3000000000000001"]),
            (#"{"type":"number","maximum":1e20}"#, ["9999999999999999", "1.5", "-3"], ["9e99", "1E21"]),
            (#"{"type":"number","minimum":-1e30,"maximum":1e30}"#, ["0", "-1.5"], ["1e31"]),
            (#"{"type":"number","maximum":0.00005}"#, ["0", "-1"], ["0.0001", "0.00008"]),
            (#"{"type":"number","minimum":-0.00005,"maximum":1}"#, ["0", "0.5"], ["-0.0001", "-0.00009"]),
            (#"{"type":"number","minimum":0,"exclusiveMaximum":0.00001}"#, ["0"], ["0.00001", "0.00009"]),
            (#"{"type":"number","minimum":0.00005}"#, ["0.0001", "1"], ["0", "0.00004"]),
        ] as [(String, [String], [String])])
    func boundsFarFromAndNearToZeroHold(schema: String, good: [String], bad: [String]) throws {
        try Self.expect(schema, accepts: good, refuses: bad)
    }

    /// Generators write a reference that may be null, or that has a description, in these ways.
    @Test(arguments: [
        ##"{"$ref":"#/$defs/n","nullable":true}"##,
        ##"{"anyOf":[{"allOf":[{"$ref":"#/$defs/n"}],"description":"the next"},{"type":"null"}]}"##,
        ##"{"allOf":[{"$ref":"#/$defs/n"}],"nullable":true}"##,
    ])
    func aReferenceMayLeadBackThroughMore(next: String) throws {
        let schema =
            ##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":"## + next
            + ##"},"required":["v","next"],"additionalProperties":false}}}"##
        try Self.expect(
            schema, accepts: [#"{"v": 1, "next": {"v": 2, "next": null}}"#],
            refuses: [#"{"v": 1, "next": {"v": 2, "next": 3}}"#, #"{"v": 1, "next": {}}"#])
    }

    @Test func namesOfAllKindsAreWritten() throws {
        try Self.expect(
            #"{"type":"object","properties":{"a\"b\\":{"const":{}},"日本":{"const":[]},"😀\n\u0001":{"const":1.5},"":{}},"#
                + #""required":["a\"b\\","日本","😀\n\u0001"],"additionalProperties":{"type":"null"}}"#,
            accepts: [
                #"{"a\"b\\": {}, "日本": [], "😀\n\u0001": 1.5}"#,
                #"{"a\"b\\": {}, "日本": [], "😀\n\u0001": 1.5, "": 7, "日": null, "日本語": null, "😀": null, "x": null}"#,
            ],
            refuses: [
                #"{"a\"b\\": {}, "日本": [], "😀\n\u0001": 1.5, "日本": null}"#,
                #"{"a\"b\\": {}, "日本": [], "😀\n\u0001": 1.5, "x": 7}"#, #"{"日本": [], "a\"b\\": {}}"#,
            ])
    }

    /// As many as a large table has columns.
    @Test func anOpenObjectMayHaveManyNames() throws {
        let names = (0..<200).map { "\($0)_column_of_a_table" }
        let schema: JSON = [
            "type": "object", "properties": .object(JSONObject(names.map { ($0, ["type": "integer"] as JSON) })),
            "additionalProperties": ["type": "null"],
        ]
        let machine = try ConstraintWalk.machine(.jsonSchema(schema), Self.index)
        for text in [
            #"{"7_column_of_a_table": 1, "8_column_of_a_table": 2, "7_column_of_a_tabl": null, "é": null}"#,
            #"{"200_column_of_a_table": null, "7\\": null, "": null}"#, "{}",
        ] { #expect(try ConstraintWalk.accepts(machine, text), "\(text)") }
        for text in [
            #"{"7_column_of_a_table": null}"#, #"{"7_column_of_a_tabl": 1}"#,
            #"{"x": null, "7_column_of_a_table": null}"#,
        ] { #expect(try !ConstraintWalk.accepts(machine, text), "\(text)") }
    }

    @Test("I08: schemas that multiply are answered within a second") func schemasThatMultiplyAreAnswered() throws {
        var definitions: JSONObject = ["a13": ["type": "object", "properties": ["x": ["type": "string"]]]]
        for level in 0..<13 {
            let next: JSON = ["$ref": .string("#/$defs/a\(level + 1)")]
            definitions["a\(level)"] = ["allOf": .array(Array(repeating: next, count: 10))]
        }
        let multiplying: JSON = ["$defs": .object(definitions), "allOf": [["$ref": "#/$defs/a0"], ["type": "object"]]]
        let options: JSON = ["oneOf": .array((0..<10_000).map { ["const": JSON($0)] })]
        // Less time than there is otherwise, for a machine that would read the second in that.
        let limits = ConstraintLimits(time: .milliseconds(20))
        for schema in [multiplying, options] {
            let (error, time) = computed {
                #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(schema), limits: limits) }
            }
            #expect(error?.code == .invalidRequest)
            #expect(error?.message.contains("too long to read") == true, "\(error?.message ?? "")")
            #expect(time < .seconds(1))
        }
    }

    /// Recursive schemas that must hold at once: one and the same holds with itself, two are refused.
    @Test("I08: recursion that must hold twice ends") func recursionThatMustHoldTwiceEnds() throws {
        func schema(_ second: String) -> String {
            ##"{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/"## + second
                + ##""}],"$defs":{"a":{"type":"object","properties":{"n":{"$ref":"#/$defs/a"}},"additionalProperties":false},"##
                + ##""b":{"type":"object","properties":{"n":{"$ref":"#/$defs/b"}}}}}"##
        }
        try Self.expect(schema("a"), accepts: ["{}", #"{"n": {"n": {}}}"#], refuses: [#"{"n": 1}"#])
        let two = try JSONParser.parse(schema("b"))
        let error = #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(two)) }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message.contains("too deeply") == true, "\(error?.message ?? "")")
    }

    /// A schema without a type speaks of objects alone, and a number fits it as well.
    @Test func aSchemaWithoutATypeFitsEveryOther() throws {
        let open = #"{"properties":{"k":{"const":1}},"additionalProperties":false}"#
        let both = try JSONParser.parse(#"{"oneOf":[{"type":"number"},"# + open + "]}")
        let error = #expect(throws: MartletError.self) { try CompiledConstraint(.jsonSchema(both)) }
        #expect(error?.message.contains("can hold at once") == true, "\(error?.message ?? "")")
        try Self.expect(
            #"{"oneOf":[{"type":"number"},{"type":"object","properties":{"k":{"const":1}},"additionalProperties":false}]}"#,
            accepts: ["2", #"{"k": 1}"#], refuses: [#"{"k": 2}"#])
    }

    /// The same characters, composed and not, are not the same constraint.
    @Test func spellingsOfACharacterAreApart() throws {
        let cache = ConstraintCache(Self.index)
        for spelling in ["caf\u{E9}", "cafe\u{301}"] {
            let machine = try cache.machine(for: .jsonSchema(["const": .string(spelling)]))
            #expect(try ConstraintWalk.accepts(machine, "\"\(spelling)\""))
        }
    }
}
