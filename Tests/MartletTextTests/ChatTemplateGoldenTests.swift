import Foundation
import MartletText
import MartletWire
import Testing

/// What jinja2 3.1.6 makes of templates in transformers' environment; see `scripts/golden/make_templates.py`.
struct ChatTemplateGoldenTests {
    private static func golden() throws -> JSON {
        let url = try #require(Bundle.module.url(forResource: "Golden/templates", withExtension: "json"))
        return try JSONParser.parse(try Data(contentsOf: url), limits: .trusted)
    }

    /// Nil where Martlet gives what jinja2 gave, else what it gave instead.
    private static func difference(
        _ source: String, _ context: JSONObject, _ expected: JSON, now: Int
    ) -> String? {
        do {
            let text = try ChatTemplate(source).render(context: context, now: now).text
            guard let wanted = expected["text"]?.string else {
                return "jinja2 fails with \(expected["fails"]?.string ?? "?"), Martlet gives \(text.debugDescription)"
            }
            guard !text.utf8.elementsEqual(wanted.utf8) else { return nil }
            return "wanted \(wanted.debugDescription), got \(text.debugDescription)"
        } catch {
            guard let wanted = expected["text"]?.string else { return nil }
            return "wanted \(wanted.debugDescription), failed with \(error)"
        }
    }

    init() { setenv("TZ", "UTC", 1) }

    @Test func theFormatsOfModelsAreByteForByteThoseOfJinja() throws {
        let golden = try Self.golden()
        let now = try #require(golden["now"]?.int)
        let contexts = try #require(golden["contexts"]?.array)
        let templates = try #require(golden["templates"]?.array)
        #expect(templates.count >= 12 && contexts.count >= 40)
        for template in templates {
            let source = try #require(template["source"]?.string)
            let name = template["template"]?.string ?? "?"
            let renderings = try #require(template["renderings"]?.array)
            #expect(renderings.contains { $0["text"] != nil }, "\(name) renders nothing")
            for (index, (context, expected)) in zip(contexts, renderings).enumerated() {
                let found = Self.difference(source, try #require(context.object), expected, now: now)
                #expect(found == nil, "\(name), conversation \(index): \(found ?? "")")
            }
        }
    }

    @Test func smallTemplatesAreByteForByteThoseOfJinja() throws {
        let golden = try Self.golden()
        let now = try #require(golden["now"]?.int)
        let values = try #require(golden["values"]?.object)
        let cases = try #require(golden["small"]?.array)
        #expect(cases.count > 2000)
        for small in cases {
            let source = try #require(small["source"]?.string)
            let found = Self.difference(source, values, small, now: now)
            #expect(found == nil, "\(source): \(found ?? "")")
        }
    }
}
