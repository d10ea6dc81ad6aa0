import Foundation
import MartletText
import MartletWire
import Testing

@Suite("Graders")
struct GraderTests {
    private let context = GraderContext(
        item: ["question": "2+2", "answer": "Four", "turns": [["text": "hi"]], "n": 3], outputText: "It is four")

    private func grader(_ json: String) throws -> Grader { try Grader(JSONParser.parse(json), path: "grader") }

    private func message(_ json: String) -> String {
        do {
            _ = try grader(json)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test(arguments: [
        ("eq", 0.0), ("ne", 1), ("like", 0), ("ilike", 1),
    ]) func stringsAreCompared(_ operation: String, _ expected: Double) throws {
        let grader = try grader(
            """
            {"type":"string_check","name":"s","operation":"\(operation)","input":"{{sample.output_text}}",
             "reference":"{{ item.answer }}"}
            """)
        #expect(try grader.score(context).value == expected)
        #expect(grader.models.isEmpty)
    }

    @Test func templatesNameFieldsAndPositions() throws {
        func render(_ text: String, _ context: GraderContext) throws -> String {
            try GraderTemplate(text, param: "t").render(context)
        }
        #expect(try render("{{item.turns[0].text}}-{{ item.turns.0.text }}-{{item.n}}", context) == "hi-hi-3")
        #expect(try render("{{item}}", GraderContext(item: ["a": 1])) == #"{"a":1}"#)
        let json = GraderContext(item: [:], outputText: #"{"city": {"name": "雨燕"}}"#)
        #expect(try render("{{sample.output_json.city.name}}", json) == "雨燕")
        #expect(try GraderTemplate("{{ item.turns }}", param: "t").value(context) == [["text": "hi"]])
        for bad in ["{{item.", "{{ other.x }}", "{{}}", "{{ item.a b }}", "{{ item.x | upper }}", "{{item[x]}}"] {
            #expect(throws: MartletError.self, "\(bad)") { try GraderTemplate(bad, param: "t") }
        }
        let missing = #expect(throws: MartletError.self) { try render("{{item.none}}", context) }
        #expect(missing?.message.contains("item.none") == true)
        #expect(throws: MartletError.self) { try render("{{sample.output_json.a}}", context) }
        #expect(throws: MartletError.self) { try render("{{sample.output_text}}", GraderContext(item: [:])) }
    }

    @Test(arguments: [
        ("1 + 2 * 3", 7.0), ("-2 ^ 2", -4), ("2 ^ 3 ^ 2", 512), ("(a + b) / 2", 0.75), ("max(a, b, 0.1)", 1),
        ("min(a,b)", 0.5), ("abs(-a)", 0.5), ("floor(1.9) + ceil(1.1)", 3), ("exp(0) + sqrt(9) + log(1)", 4),
        ("a - -b", 1.5), ("1e2 / 4", 25), ("2 * -b", -2),
    ]) func formulasAreArithmetic(_ source: String, _ expected: Double) throws {
        #expect(abs(try ScoreFormula(source, param: "f").value(["a": 0.5, "b": 1]) - expected) < 1e-12)
    }

    @Test(arguments: [
        "", "1 +", "a b", "__import__('os')", "open(a)", "a; b", "1..2", "max()", "abs(1, 2)", "a.b", "a[0]", "1/0x",
        "(1", String(repeating: "(", count: 4000), String(repeating: "-", count: 4000) + "1",
    ]) func whatIsNoFormulaIsRefused(_ source: String) {
        #expect(throws: MartletError.self) { try ScoreFormula(source, param: "f") }
    }

    @Test(arguments: ["1 / (a - a)", "log(a - a)", "sqrt(-a)", "10 ^ 999"])
    func aFormulaWithoutAFiniteValueIsAnError(_ source: String) throws {
        let formula = try ScoreFormula(source, param: "f")
        #expect(throws: MartletError.self) { try formula.value(["a": 0.5]) }
    }

    @Test func manyGradersMakeOneScore() async throws {
        let grader = try grader(
            """
            {"type":"multi","name":"m","calculate_output":"0.5 * exact + 0.25 * judge + 0.25 * kind","graders":{
              "exact":{"type":"string_check","name":"e","operation":"ilike","input":"{{sample.output_text}}",
                       "reference":"four"},
              "judge":{"type":"score_model","name":"j","model":"tiny","range":[0,2],
                       "input":[{"role":"user","content":"Judge {{sample.output_text}}"}]},
              "kind":{"type":"label_model","name":"k","model":"other","labels":["good","bad"],"passing_labels":["good"],
                      "input":[{"role":"user","content":[{"type":"input_text","text":"Label {{item.answer}}"}]}]}}}
            """)
        #expect(grader.models == ["tiny", "other"])
        let questions = try grader.questions(context)
        #expect(questions.map { $0.messages.last?["content"]?.string } == ["Judge It is four", "Label Four"])
        let schema = questions[0].body["response_format"]?["json_schema"]?["schema"]?["properties"]?["result"]
        #expect(schema == ["type": "number", "minimum": 0.0, "maximum": 2.0])
        let score = try await grader.score(context) { question in
            question.model == "tiny" ? #"{"result": 1.5}"# : #"{"label": "good"}"#
        }
        #expect(score.value == 0.5 + 0.375 + 0.25)
        #expect(score.parts == ["exact": 1, "judge": 1.5, "kind": 1])
        for answer in ["", "1.5", #"{"result": 7}"#, #"{"result": "1"}"#, "{}"] {
            #expect(throws: MartletError.self, "\(answer)") {
                try grader.score(context, answers: [answer, #"{"label": "good"}"#])
            }
        }
        #expect(throws: MartletError.self) {
            try grader.score(context, answers: [#"{"result": 1}"#, #"{"label": "ugly"}"#])
        }
    }

    @Test func refusalsNameTheField() {
        #expect(message(#"{"type":"python","name":"p","source":"x"}"#).contains("'grader.type' is 'python'"))
        #expect(message(#"{"type":"magic","name":"p"}"#).contains("'magic'"))
        #expect(
            message(#"{"type":"string_check","name":"s","input":"a","operation":"eq"}"#).contains("'grader.reference'"))
        #expect(
            message(#"{"type":"string_check","name":"s","input":"a","reference":"b","operation":"equals"}"#)
                .contains("'grader.operation' is 'equals'"))
        #expect(
            message(#"{"type":"string_check","name":"s","input":"a","reference":"b","operation":"eq","x":1}"#)
                .contains("'grader.x'"))
        for metric in ["cosine", "meteor", "best"] {
            let text = message(
                #"{"type":"text_similarity","name":"s","input":"a","reference":"b","evaluation_metric":"\#(metric)"}"#)
            #expect(text.contains("'grader.evaluation_metric' is '\(metric)'"))
        }
        #expect(
            message(
                #"{"type":"label_model","name":"l","model":"m","labels":["a"],"passing_labels":["b"],"input":[{"role":"user","content":"x"}]}"#
            ).contains("'grader.passing_labels'"))
        #expect(
            message(
                #"{"type":"multi","name":"m","calculate_output":"a + z","graders":{"a":{"type":"string_check","name":"a","input":"a","reference":"b","operation":"eq"}}}"#
            ).contains("uses 'z'"))
    }

    @Test func similarityIsThatOfThePublicPackages() throws {
        let url = try #require(Bundle.module.url(forResource: "Golden/similarity", withExtension: "json"))
        let rows = try #require(try JSONParser.parse(Data(contentsOf: url)).array)
        #expect(rows.count > 70)
        for row in rows {
            let text = try #require(row["text"]?.string), reference = try #require(row["reference"]?.string)
            for metric in TextSimilarity.allCases {
                let expected = try #require(row[metric.rawValue]?.double)
                let score = try metric.score(text, reference: reference)
                #expect(abs(score - expected) < 1e-9, "\(metric.rawValue) of '\(text)' and '\(reference)'")
            }
        }
    }

    @Test func similarityTakesEveryScriptAndBoundedTexts() throws {
        #expect(abs(try TextSimilarity.rouge1.score("雨燕 飞得高", reference: "雨燕 飞得低") - 0.8) < 1e-9)
        #expect(try TextSimilarity.fuzzyMatch.score("čaj", reference: "čaj") == 1)
        let long = String(repeating: "x", count: 131_073)
        #expect(throws: MartletError.self) { try TextSimilarity.fuzzyMatch.score(long, reference: "x") }
    }
}
