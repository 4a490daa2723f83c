import Foundation
import Testing

@testable import MMoEData

/// Measures of captions and retrieval against values worked out by hand.
@Suite struct CaptionScoresTests {
  /// 5 of 6 words, 3 of 5 pairs, 1 of 4 threes and none of 3 fours would be 0: another word makes one four right.
  @Test func bleuByHand() {
    let scores = CaptionScores(["the cat sat on a mat"], references: [["the cat sat on the mat"]])
    // Words 5/6 (the second "the" is not said), pairs 3/5, threes 2/4, fours 1/3; equal lengths.
    let expected = pow(5.0 / 6 * 3 / 5 * 2 / 4 * 1 / 3, 0.25)
    #expect(abs(scores.bleu4 - expected) < 1e-12)
    #expect(scores.exactMatch == 0)
    // 5 common of 6 and 6.
    #expect(abs(scores.tokenF1 - 10.0 / 12) < 1e-12)
  }

  /// Clipping, the nearest reference length, and the brevity penalty.
  @Test func bleuClipsAndPunishesBrevity() {
    let short = CaptionScores(["a b c d"], references: [["a b c d e f", "a b c d e f g h"]])
    #expect(abs(short.bleu4 - exp(1 - 6.0 / 4)) < 1e-12)
    let repeated = CaptionScores(["a a a a a"], references: [["a a b b b"]])
    #expect(repeated.bleu4 == 0)
    let clipped = CaptionScores(["x y z w x y z w"], references: [["x y z w q q q q"]])
    // Words 4/8, pairs 3/7, threes 2/6, fours 1/5.
    #expect(abs(clipped.bleu4 - pow(4.0 / 8 * 3 / 7 * 2 / 6 * 1 / 5, 0.25)) < 1e-12)
  }

  @Test func exactMatchIgnoresCaseAndSigns() {
    let scores = CaptionScores(["Red  apple!", "pear"], references: [["red apple", "fruit"], ["apple"]])
    #expect(scores.exactMatch == 0.5)
    #expect(scores.tokenF1 == 0.5)
  }

  /// Two images. "red" stands in both, so it weighs log(2/2) = 0; "apple" and "car" weigh log 2.
  @Test func ciderByHand() {
    let same = CaptionScores(["red apple", "red car"], references: [["red apple"], ["red car"]])
    // Words and pairs have cosine 1, threes and fours do not exist.
    #expect(abs(same.cider - 0.5) < 1e-12)
    let half = CaptionScores(["red apple", "blue car"], references: [["red apple", "green apple"], ["red car"]])
    // First image: to "red apple" 1 (words) and 1 (pairs); to "green apple" words: (0, ln2) · (ln2, ln2) / … = 1/√2 over
    // red 0, green and apple ln 2; pairs 0. Mean of both: (1 + 0.7071068) / 2 and 0.5. Second: "blue" is in no reference
    // and weighs ln 2, so words (ln2, ln2) · (0, ln2) = 0.7071068, pairs 0.
    let first = ((1 + 0.5.squareRoot()) / 2 + 0.5) / 4
    let second = 0.5.squareRoot() / 4
    #expect(abs(half.cider - (first + second) / 2) < 1e-12)
  }

  @Test func ranksByHand() {
    func ranks(_ similarity: [[Float]]) -> RetrievalRanks {
      RetrievalRanks(queries: 3, gallery: 3, similarity: { similarity[$0][$1] }, isRight: { $0 == $1 })
    }
    // Best of all; two wrong answers of equal similarity stand before it; so does a better one.
    let found = ranks([[0.9, 0.1, 0.5], [0.4, 0.4, 0.4], [0.5, 0.2, 0.3]])
    #expect(found.ranks == [1, 3, 2])
    #expect(found.recall(at: 1) == 1.0 / 3 && found.recall(at: 2) == 2.0 / 3 && found.recall(at: 3) == 1)
    // A wrong or a right answer that is no number: nothing can be said of the others.
    for bad in [[Float.nan, 0.2, 0.3], [0.1, 0.2, .nan]] {
      #expect(ranks([[0.9, 0.1, 0.5], [0.4, 0.5, 0.4], bad]).recall(at: 3).isNaN)
    }
    // The same picture twice: either answer is right.
    let twice = RetrievalRanks(
      queries: 1, gallery: 3, similarity: { [0.5, 0.1, 0.9][$1] }, isRight: { $1 == 0 || $1 == 2 })
    #expect(twice.ranks == [1])
  }
}
