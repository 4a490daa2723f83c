import Foundation
import TestSupport
import Testing

/// Checks that several ranks make together: `Tests/ParallelChecks`.
@Suite(.serialized, .needsRanks) struct RankTests {
  private func check(_ name: String, ranks: Int) throws {
    let result = try RankRunner.run("parallel-checks", [name], ranks: ranks)
    #expect(result.status == 0, "\(name) on \(ranks) ranks: \(result.errors)")
    #expect(result.output.contains("ok \(name)"), "\(name) on \(ranks) ranks: \(result.output)")
  }

  @Test(arguments: [2, 4]) func collectives(ranks: Int) throws { try check("collectives", ranks: ranks) }

  /// Start and wait are each other's adjoints, for uneven routing and any number of parts.
  @Test(arguments: [2, 4]) func adjoint(ranks: Int) throws { try check("adjoint", ranks: ranks) }

  @Test(arguments: [2, 4]) func wireFormats(ranks: Int) throws { try check("wire", ranks: ranks) }

  /// The same losses and gradients as one rank.
  @Test(arguments: [2, 4]) func sameAsOneRank(ranks: Int) throws { try check("ranks", ranks: ranks) }

  @Test(arguments: [2, 4]) func unevenRouting(ranks: Int) throws { try check("uneven", ranks: ranks) }

  @Test(arguments: [2, 4]) func banksAndSources(ranks: Int) throws { try check("banks", ranks: ranks) }

  @Test(arguments: [2, 4]) func routers(ranks: Int) throws { try check("routers", ranks: ranks) }

  @Test(arguments: [2, 4]) func accumulation(ranks: Int) throws { try check("accumulation", ranks: ranks) }

  /// Overlap changes time, never results.
  @Test(arguments: [2, 4]) func strategies(ranks: Int) throws { try check("strategies", ranks: ranks) }

  /// A link that holds rows back changes when they come, nothing else.
  @Test(arguments: [2, 4]) func pacedLink(ranks: Int) throws { try check("paced", ranks: ranks) }

  @Test func deadRankEndsTheJob() throws {
    // Time for the other rank to see it, on a busy machine too, before mpirun ends that one.
    let result = try RankRunner.run(
      "parallel-checks", ["die"], ranks: 2, timeout: 60, launcher: ["--mca", "odls_base_sigkill_timeout", "8"])
    #expect(result.status != 0 && result.status != 124)
    #expect(result.lines.count == 1 && result.lines[0].contains("rank 1 has died"), "\(result.errors)")
  }

  @Test func aThreadThatDoesNotComeBackEndsTheJob() throws {
    let result = try RankRunner.run("parallel-checks", ["hang"], ranks: 2, timeout: 60)
    #expect(result.status != 0 && result.status != 124)
    #expect(
      result.lines.contains { $0.hasPrefix("rank 0: a reduction: the message library does not come back") },
      "\(result.errors)")
  }

  @Test func stalledRankEndsTheJob() throws {
    let result = try RankRunner.run("parallel-checks", ["stall", "impatient"], ranks: 2, timeout: 30)
    #expect(result.status == 1)
    #expect(
      result.lines.count == 1 && result.lines[0].contains("was not done after 2 s"), "\(result.errors)")
  }
}
