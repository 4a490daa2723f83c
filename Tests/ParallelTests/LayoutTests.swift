import Foundation
import MMoEModels
import MMoETensor
import Testing

@testable import MMoEParallel

@Suite struct LayoutTests {
  /// As many parts as experts of a rank leave queues whole; more cut each into as many, fewer join them.
  @Test func partsFollowExperts() {
    func places(_ parts: Int, experts: Int) -> [[Range<Int>]] {
      let parts = RouteParts(parts, expertsOfRank: experts)
      return (0..<parts.count).map { part in
        (0..<2 * experts).map { parts.start(part, of: $0, rows: 12)..<parts.start(part + 1, of: $0, rows: 12) }
      }
    }
    #expect(places(1, experts: 2) == [[0..<12, 0..<12, 0..<12, 0..<12]])
    #expect(places(2, experts: 2) == [[0..<12, 0..<0, 0..<12, 0..<0], [12..<12, 0..<12, 12..<12, 0..<12]])
    #expect(places(4, experts: 2).map { [$0[0].count, $0[1].count] } == [[6, 0], [6, 0], [0, 6], [0, 6]])
    #expect(places(2, experts: 3).map { $0[..<3].map(\.count) } == [[12, 6, 0], [0, 6, 12]])
    #expect(places(3, experts: 1).map(\.[0]) == [0..<4, 4..<8, 8..<12])
  }

  /// Plans in parts hold the same pairs, each part sorted by expert, and the queues' order is kept.
  @Test func partsHoldThePlansRows() {
    let experts: [Int32] = [2, 0, 1, 2, 2, 0, 3, 2, 1, 2]
    let whole = DispatchPlan(experts: experts, tokens: 10, k: 1, expertCount: 4)
    let parts = DispatchPlan(experts: experts, tokens: 10, k: 1, expertCount: 4, parts: RouteParts(3, expertsOfRank: 4))
    #expect(whole.offsets == [[0, 2, 4, 9, 10]])
    #expect(parts.offsets.map(\.first) + [10] == [0, parts.offsets[0].last!, parts.offsets[1].last!, 10])
    #expect(Set(parts.position) == Set(0..<10))
    for (pair, row) in parts.position.enumerated() {
      #expect(parts.source[Int(row)] == Int32(pair))
      let partIndex = parts.offsets.firstIndex { Int(row) < $0.last! }!
      let expert = Int(experts[pair])
      #expect(Int(row) >= parts.offsets[partIndex][expert] && Int(row) < parts.offsets[partIndex][expert + 1])
    }
    // Tokens of one expert stay in order.
    let rows = experts.indices.filter { experts[$0] == 2 }.map { parts.position[$0] }
    #expect(rows == rows.sorted())
  }

  /// What a rank expects in a part is what the others send in it.
  @Test(arguments: [2, 3, 4]) func partsAgreeBetweenRanks(parts: Int) {
    let choices: [[Int32]] = [[0, 0, 1, 2, 3, 3, 3], [3, 3, 2, 2, 0, 1, 1]]
    let layouts = choices.enumerated().map { rank, experts in
      RouteLayout(
        DispatchPlan(experts: experts, tokens: 7, k: 1, expertCount: 4, parts: RouteParts(parts, expertsOfRank: 2)),
        rank: rank,
        ranks: 2)
    }
    for (rank, layout) in layouts.enumerated() {
      layout.receive(layouts.flatMap { Array($0.sent[rank * 2..<rank * 2 + 2]) })
    }
    for partIndex in 0..<parts {
      for (rank, layout) in layouts.enumerated() {
        let part = layout.part(partIndex)
        #expect(part.receivedCounts == layouts.map { $0.part(partIndex).sentCounts[rank] })
        #expect(part.offsets.last == part.receivedCounts.reduce(0, +))
        #expect(part.runs.reduce(0) { $0 + $1.count } == part.offsets.last)
      }
    }
  }

  @Test(arguments: WireFormat.allCases) func wireFormatErrors(wire: WireFormat) {
    let width = 37
    let x: [Float] = (0..<5 * width).map { Float($0 % 11) * 0.37 - 1.5 } + [Float](repeating: 0, count: width)
    let rows = 6
    var back = [Float](repeating: .nan, count: rows * width)
    var bytes = [UInt8](repeating: 0, count: rows * wire.rowBytes(width))
    bytes.withUnsafeMutableBytes { wire.encode(x, count: rows, width: width, to: $0.baseAddress!) }
    bytes.withUnsafeBytes { wire.decode($0.baseAddress!, count: rows, width: width, to: &back) }
    let bound: Float = wire == .float32 ? 0 : wire == .bf16 ? 1 / 256 : 0.5 / 127
    var worst: Float = 0
    for r in 0..<rows {
      let row = r * width..<(r + 1) * width
      let top = max(x[row].map(abs).max()!, 1e-9)
      for i in row { worst = max(worst, abs(x[i] - back[i]) / top) }
    }
    #expect(worst <= bound * 1.001)
    #expect(wire == .float32 || worst > bound / 8)
    // A row that is not finite must not come back as numbers.
    let bad: [Float] = [1, .nan, 2, .infinity]
    var badBack = [Float](repeating: 0, count: 4)
    var badBytes = [UInt8](repeating: 0, count: wire.rowBytes(4))
    badBytes.withUnsafeMutableBytes { wire.encode(bad, count: 1, width: 4, to: $0.baseAddress!) }
    badBytes.withUnsafeBytes { wire.decode($0.baseAddress!, count: 1, width: 4, to: &badBack) }
    #expect(!badBack[1].isFinite && !badBack[3].isFinite)
  }
}

@Suite struct CoreShareTests {
  /// Ranks that the launcher left alone share a host's cores; bound ones have theirs to themselves.
  @Test func threadsOfARank() {
    func threads(_ places: [(host: Int, first: Int, cores: Int)]) -> [Int] {
      let places = places.map { CorePlace(host: $0.host, first: $0.first, cores: $0.cores) }
      return places.indices.map { CorePlace.threads(of: $0, among: places) }
    }
    #expect(threads([(1, 0, 16), (1, 0, 16), (2, 0, 16)]) == [8, 8, 16])
    #expect(threads([(1, 0, 8), (1, 8, 8), (2, 0, 8), (2, 8, 8)]) == [8, 8, 8, 8])
    #expect(threads([(1, 0, 8), (1, 0, 8), (1, 8, 8)]) == [4, 4, 8])
    #expect(threads([(1, 0, 2), (1, 0, 2), (1, 0, 2)]) == [1, 1, 1])
    let own = CorePlace.own
    #expect(own.cores >= 1 && own.cores <= ProcessInfo.processInfo.processorCount && own.host > 0)
  }
}
