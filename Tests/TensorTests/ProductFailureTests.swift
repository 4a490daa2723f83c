import CBLAS
import Testing

@testable import MMoETensor

private let hasOneDNN = BLASBackend.preferred == .oneDNN

/// A product that the library refuses ends the process with one line: its result would be whatever was in memory before.
@Suite(.enabled(if: hasOneDNN, "oneDNN is not built in")) struct ProductFailureTests {
  @Test func float32() async throws {
    let result = try await #require(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
      var message = [CChar](repeating: 0, count: 256)
      _ = mmoe_blas_open(MMOE_BLAS_ONEDNN, &message)
      let (a, b) = ([Float](repeating: 1, count: 64), [Float](repeating: 1, count: 64))
      var c = [Float](repeating: 7, count: 64)
      // Rows of A closer together than they are long.
      mmoe_sgemm(MMOE_BLAS_ONEDNN, false, false, 8, 8, 8, 1, a, 2, b, 8, 0, &c, 8)
    }
    let line = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(line.hasPrefix("oneDNN: a float32 product of 8 x 8 x 8 failed with status "), "\(line)")
    #expect(line.count { $0 == "\n" } == 1)
  }

  /// The same of bfloat16, where the CPU has it.
  @Test(.enabled(if: (try? Engine(threads: 1, dtype: .bf16)) != nil, "this CPU or build has no bfloat16 products"))
  func bfloat16() async throws {
    let result = try await #require(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
      var message = [CChar](repeating: 0, count: 256)
      _ = mmoe_blas_open_bf16(&message)
      let (a, b) = ([UInt16](repeating: 0, count: 64), [UInt16](repeating: 0, count: 64))
      var c = [Float](repeating: 7, count: 64)
      mmoe_bgemm(false, false, 8, 8, 8, 1, a, -2, b, 8, false, &c, 8)
    }
    let line = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(line.hasPrefix("oneDNN: a bfloat16 product of 8 x 8 x 8 failed with status "), "\(line)")
  }
}
