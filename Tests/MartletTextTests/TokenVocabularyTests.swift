import MartletText
import Testing

@Test func aVocabularyCountsItsIdentifiersWithTheUnused() {
    let vocabulary = TokenVocabulary(bytes: [[97], nil, [98]], endTokens: [1])
    #expect(vocabulary.count == 3)
}
