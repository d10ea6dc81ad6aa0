import Foundation
import MartletText
import MartletWire
import Testing

@Suite struct TokenizerRegexTests {
    static let patterns = [
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
        #"a+b|a"#, #"(?:a|aa|b)*c|[ab]"#, #"\p{L}++\d|\p{L}"#, #"(?:\w+\s)*x|\S"#, #"a*?b|.{2}"#, #"(?<=a)b?|[^a]$"#,
        "",
    ]

    private func matches(_ program: RegexProgram, _ text: String, stepsPerByte: Int) -> [Range<Int>] {
        var found: [Range<Int>] = []
        let bytes = Array(text.utf8) + [0]
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            RegexMatcher.forEachMatch(
                of: program, in: base, from: 0, to: buffer.count - 1, stepsPerByte: stepsPerByte
            ) { found.append($0..<$1) }
        }
        return found
    }

    /// With no steps a byte the record of what was tried is begun after the first few hundred.
    @Test(arguments: patterns) func theRecordOfWhatWasTriedChangesNoMatch(_ pattern: String) throws {
        let program = try RegexProgram(pattern)
        var text = ""
        for index in 0..<300 {
            text += RandomText.string(seed: 5, index) + ["aaab", "abab aac", "xyz1", "aaaa"][index % 4]
        }
        let plain = matches(program, text, stepsPerByte: 1 << 20)
        let recorded = matches(program, text, stepsPerByte: 0)
        #expect(plain.count > 300)
        #expect(plain == recorded)
    }

    @Test(arguments: [
        ("a+b|a", "a"), ("(?:a|aa)*c|a", "a"), (#"\p{L}++\d|\p{L}"#, "a"), (#"(?:\w+\s)*x|\S"#, "word "),
        (#"\s+x|\s*[\r\n]+|\s"#, " "), (#"(?:a*b)*c|."#, "ab"),
    ])
    func aHostileTextTakesLinearTime(_ pattern: String, _ unit: String) throws {
        let program = try RegexProgram(pattern)
        let count = 200_000 / unit.utf8.count
        let (found, time) = computed {
            matches(program, String(repeating: unit, count: count), stepsPerByte: RegexMatcher.stepsPerByte).count
        }
        #expect(found > 1000)
        #expect(time < .seconds(5))
    }

    @Test(arguments: [
        (#"(a)\1"#, #"\1"#), ("(?=ab)c", "look-around"), ("(?>a+)b", "(?>"), (#"\p{Han}+"#, "Han"),
        ("[[:alpha:]]", "POSIX"),
        ("[a&&b]", "intersection"), ("(?:a*)*", "can be empty"), (#"\bword"#, #"\b"#), ("(?:ab)++", "possessive"),
        ("a{2}{1000}{1000}{1000}", "4096"), ("a" + String(repeating: "{1}", count: 2000), "in a row"),
        (String(repeating: "a", count: 10_000), "8192"), ("[b-a]", "out of order"), ("(a", "without its ')'"),
        ("a)", "without its '('"),
        ("*a", "repeats nothing"), ("[a", "without its ']'"), ("a{99999}", "1000"),
        (String(repeating: "(", count: 50) + String(repeating: ")", count: 50), "deeper"),
    ])
    func whatCannotBeMatchedInLinearTimeIsRefusedByName(_ pattern: String, _ name: String) {
        let error = #expect(throws: MartletError.self) { try RegexProgram(pattern) }
        #expect(error?.code == .unsupportedFormat)
        #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
    }
}
