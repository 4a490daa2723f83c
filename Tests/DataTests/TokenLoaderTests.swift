import Foundation
import Testing

@testable import MMoEData

/// Windows of tokens: every order gives the same batches wherever it starts and however many threads there are.
@Suite struct TokenLoaderTests {
  private let folder: TemporaryFolder
  private let corpus: TokenCorpus

  init() throws {
    folder = try TemporaryFolder()
    // 1000 different tokens: a window's first id says where it begins.
    corpus = try TokenCorpus(folder.makeShards([300, 300, 400], vocabulary: 1000), split: .train, tokenizer: nil)
  }

  private func batches(
    _ order: TokenOrder, _ count: Int, batch: Int = 4, length: Int = 16, seed: UInt64 = 1, threads: Int = 1,
    rank: Int = 0, ranks: Int = 1, accumulation: Int = 1
  ) throws -> [TokenBatch] {
    let loader = try TokenLoader(
      corpus,
      options: .init(
        batchSize: batch, length: length, seed: seed, threads: threads, depth: 2, rank: rank, ranks: ranks,
        accumulation: accumulation),
      order: order)
    return try (0..<count).map { _ in try #require(try loader.next()) }
  }

  /// The row's windows: inputs that count up, targets one further on.
  private func starts(_ batch: TokenBatch) -> [Int] {
    (0..<batch.count).map { row in
      let inputs = batch.inputs[row * batch.length..<(row + 1) * batch.length]
      let targets = batch.targets[row * batch.length..<(row + 1) * batch.length]
      let first = inputs.first!
      #expect(Array(inputs) == (0..<batch.length).map { first + Int32($0) })
      #expect(Array(targets) == (0..<batch.length).map { first + Int32($0) + 1 })
      return Int(first)
    }
  }

  @Test(arguments: [TokenOrder.random(startStep: 0), .sequential(startStep: 0), .overfit])
  func threadsDoNotMatter(order: TokenOrder) throws {
    let one = try batches(order, 60)
    #expect(try batches(order, 60, threads: 4) == one)
    #expect(one.map(\.step) == Array(0..<60))
    if order != .overfit { #expect(try batches(order, 60, seed: 2) != one) }
  }

  /// Resumed at any step the stream goes on as if it had never stopped.
  @Test func resumes() throws {
    let (random, sequential) = (try batches(.random(startStep: 0), 50), try batches(.sequential(startStep: 0), 50))
    for start in [1, 7, 15, 16, 31, 49] {
      #expect(try batches(.random(startStep: start), 50 - start) == Array(random[start...]))
      #expect(try batches(.sequential(startStep: start), 50 - start) == Array(sequential[start...]))
    }
  }

  /// A step reads the same windows, in however many micro-batches and on however many ranks, resumed or not.
  @Test(arguments: [TokenOrder.random(startStep: 0), .sequential(startStep: 0), .overfit])
  func divisionDoesNotDecideTheWindows(order: TokenOrder) throws {
    let whole = try batches(order, 5, batch: 12).map(starts)
    for (ranks, accumulation) in [(1, 2), (1, 6), (2, 3), (3, 1), (2, 2)] {
      let batch = 12 / ranks / accumulation
      let parts = try (0..<ranks).map { rank in
        try batches(order, 5 * accumulation, batch: batch, rank: rank, ranks: ranks, accumulation: accumulation).map(
          starts)
      }
      for step in 0..<5 {
        let found = (0..<accumulation).flatMap { micro in parts.flatMap { $0[step * accumulation + micro] } }
        #expect(found == whole[step], "\(ranks) ranks, \(accumulation) micro-batches")
      }
    }
    if case .random = order {
      let resumed = try batches(.random(startStep: 6), 3, batch: 4, accumulation: 3).flatMap(starts)
      #expect(resumed == whole[2])
    }
  }

  /// Windows may begin anywhere, and all places are as likely.
  @Test func randomStarts() throws {
    let found = try batches(.random(startStep: 0), 500).flatMap(starts)
    #expect(found.min()! < 10 && found.max()! > 973 && found.max()! <= 983)
    #expect(abs(found.reduce(0, +) / found.count - 491) < 30)
    #expect(Set(found).count > 750)
  }

  /// 62 windows of 16 in 1000 tokens: each once an epoch, in another order every epoch.
  @Test func sequentialEpochs() throws {
    let all = try batches(.sequential(startStep: 0), 62, batch: 2)
    let found = all.flatMap(starts)
    let (first, second) = (found[..<62], found[62...])
    #expect(first.sorted() == (0..<62).map { $0 * 16 } && second.sorted() == first.sorted())
    #expect(Array(first) != Array(second) && Array(first) != first.sorted())
    #expect(all.map(\.epoch) == [Int](repeating: 0, count: 31) + [Int](repeating: 1, count: 31))
    #expect(TokenLoader.windows(tokens: 1000, length: 16) == 62)
    #expect(TokenLoader.stepsPerEpoch(tokens: 1000, length: 16, batchSize: 2) == 31)
  }

  /// Two ranks see together what one rank with twice the batch sees.
  @Test func ranksShareASteps() throws {
    for order in [TokenOrder.random(startStep: 3), .sequential(startStep: 3)] {
      let whole = try batches(order, 10, batch: 6)
      let parts = try (0..<2).map { try batches(order, 10, batch: 3, rank: $0, ranks: 2) }
      for (index, batch) in whole.enumerated() {
        #expect(batch.inputs == parts[0][index].inputs + parts[1][index].inputs)
      }
    }
  }

  @Test func overfitRepeats() throws {
    let all = try batches(.overfit, 5)
    #expect(Set(all.map(\.inputs)).count == 1)
    #expect(all[0].inputs == (try batches(.sequential(startStep: 0), 1)[0].inputs))
  }

  /// The smallest corpus that holds a window, and one token less.
  @Test func shortCorpus() throws {
    #expect(try batches(.random(startStep: 0), 3, length: 999).flatMap(starts).allSatisfy { $0 == 0 })
    #expect(try batches(.sequential(startStep: 0), 3, length: 999).flatMap(starts).allSatisfy { $0 == 0 })
    let found = message { _ = try batches(.random(startStep: 0), 1, length: 1000) }
    #expect(found?.contains("the train part has 1000 tokens, a window of 1000 needs 1001") == true, "\(found ?? "")")
    for (batch, length, words) in [(0, 8, "batch size is 0"), (8, 0, "window length is 0")] {
      #expect(message { _ = try batches(.overfit, 1, batch: batch, length: length) }?.contains(words) == true)
    }
    #expect(message { _ = try batches(.random(startStep: -1), 1) }?.contains("start step is -1") == true)
  }

  /// Closing wakes the workers and ends the stream.
  @Test func closes() throws {
    let loader = try TokenLoader(corpus, options: .init(batchSize: 4, length: 16), order: .random(startStep: 0))
    _ = try loader.next()
    loader.close()
    #expect(try loader.next() == nil)
  }

  // MARK: Evaluation

  /// By counting: every token but the first is a target once, with its predecessors in the window, and those of later
  /// windows have at least T − S tokens before them.
  @Test(arguments: [2, 3, 16, 17, 18, 31, 32, 33, 100, 1000]) func everyTargetOnce(tokens: Int) throws {
    for (length, stride) in [(16, 16), (16, 1), (16, 5), (16, 15), (1, 1), (40, 8)] {
      let range = (1000 - tokens)..<1000
      let windows = try SlidingWindows(corpus, range: range, length: length, stride: stride)
      var seen = [Int](repeating: 0, count: 1000)
      for first in Swift.stride(from: 0, to: windows.count, by: 3) {
        let batch = try windows.batch(first: first, size: 3)
        #expect(batch.count == min(3, windows.count - first) && batch.inputs.count == batch.count * length)
        for row in 0..<batch.count {
          for i in 0..<length where batch.targets[row * length + i] >= 0 {
            let target = Int(batch.targets[row * length + i])
            seen[target] += 1
            #expect(Int(batch.inputs[row * length + i]) == target - 1)
            // What the model sees before the target: i + 1 tokens of this window, all of the row where it is short.
            let before = min(target - range.lowerBound, length - stride + 1)
            #expect(i + 1 >= before && Int(batch.inputs[row * length]) == target - 1 - i)
          }
        }
      }
      #expect(seen == (0..<1000).map { $0 > range.lowerBound ? 1 : 0 }, "\(tokens) tokens, \(length) by \(stride)")
      #expect(windows.targets == tokens - 1)
    }
  }

  @Test func windowsOfTheWholeCorpus() throws {
    let windows = try SlidingWindows(corpus, length: 100, stride: 50)
    #expect(windows.targets == 999 && windows.count == 19)
    #expect(message { _ = try SlidingWindows(corpus, length: 16, stride: 17) }?.contains("stride is 17") == true)
    #expect(message { _ = try SlidingWindows(corpus, length: 16, stride: 0) }?.contains("stride is 0") == true)
    #expect(
      message { _ = try SlidingWindows(corpus, range: 5..<6, length: 16, stride: 4) }?.contains("at least 2") == true)
  }
}
