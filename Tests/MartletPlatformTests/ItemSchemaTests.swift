import MartletPlatform
import MartletWire
import Testing

@Suite struct ItemSchemaTests {
    private static let schema = ItemSchema([
        "type": "object", "required": ["turns"], "additionalProperties": false,
        "properties": [
            "turns": ["type": "array", "minItems": 1, "items": ["$ref": "#/$defs/turn"]],
            "level": ["type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 10],
            "kind": ["enum": ["a", "b"]], "note": ["type": "string", "maxLength": 3],
            "place": ["anyOf": [["type": "string"], ["type": "object", "required": ["city"]]]],
            "tree": ["$ref": "#/$defs/tree"],
        ],
        "$defs": [
            "turn": [
                "type": "object", "required": ["text"],
                "properties": ["text": ["type": "string"], "tags": ["type": "array", "items": ["type": "string"]]],
            ],
            "tree": ["type": "object", "properties": ["left": ["$ref": "#/$defs/tree"]]],
        ],
    ])

    /// Its alternatives double with each level.
    @Test(arguments: ["anyOf", "oneOf"]) func aSchemaThatLeadsBackToItselfTwiceComesToAnEnd(word: String) {
        let schema = ItemSchema(.object([word: [["$ref": "#"], ["$ref": "#"]]]))
        #expect(schema.fault([:])?.contains("has a schema") == true)
    }

    @Test(arguments: [
        #"{"turns": [{"text": "a", "tags": ["x"]}], "level": 3, "kind": "b", "note": "abc", "place": "here"}"#,
        #"{"turns": [{"text": ""}], "level": null, "place": {"city": "Rome"}, "tree": {"left": {"left": {}}}}"#,
    ]) func whatFits(_ text: String) throws {
        #expect(Self.schema.fault(try JSONParser.parse(text)) == nil)
    }

    @Test(arguments: [
        (#"{}"#, "has no 'turns', which the schema requires"),
        (#"{"turns": []}"#, "has in 'turns' 0 elements; at least 1"),
        (#"{"turns": [{"text": "a"}, {"text": 4}]}"#, "has in 'turns[1].text' a number but the schema wants string"),
        (#"{"turns": [{}]}"#, "has no 'turns[0].text', which the schema requires"),
        (
            #"{"turns": [{"text": "a", "tags": ["x", true]}]}"#,
            "has in 'turns[0].tags[1]' a boolean but the schema wants string"
        ),
        (#"{"turns": [{"text": "a"}], "level": 1.5}"#, "has in 'level' a number but the schema wants integer or null"),
        (#"{"turns": [{"text": "a"}], "level": 10}"#, "has in 'level' 10, past the schema's exclusiveMaximum 10.0"),
        (#"{"turns": [{"text": "a"}], "kind": "c"}"#, #"has in 'kind' "c", which is none of the schema's values"#),
        (#"{"turns": [{"text": "a"}], "note": "雨燕雨燕"}"#, "has in 'note' 4 characters; at most 3"),
        (#"{"turns": [{"text": "a"}], "more": 1}"#, "has 'more', which the schema does not know"),
        (#"{"turns": [{"text": "a"}], "place": {}}"#, "has in 'place' an object but the schema wants string"),
        (
            #"{"turns": [{"text": "a"}], "tree": {"left": {"left": 1}}}"#,
            "has in 'tree.left.left' a number but the schema wants object"
        ),
    ]) func whatDoesNotIsNamedByItsPlace(_ text: String, _ fault: String) throws {
        #expect(Self.schema.fault(try JSONParser.parse(text)) == fault)
    }

    @Test func aSchemaThatLeadsToItselfEnds() {
        #expect(ItemSchema(["$ref": "#"]).fault([:])?.contains("without end") == true)
        #expect(ItemSchema(["$ref": "#/nowhere"]).fault([:])?.contains("leads nowhere") == true)
    }
}
