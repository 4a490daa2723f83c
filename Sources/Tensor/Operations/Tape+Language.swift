import CKernels
import Foundation

/// Cosines and sines of rotary positions (Su et al., arXiv 2104.09864): pair `i` of a head of width `w` turns by
/// `position · base^(−2 i / w)`.
public struct RotaryAngles {
  /// `[positions, w]`: half cosines, half sines.
  let table: Tensor
  let width: Int

  package init(positions: Int, width: Int, base: Double) {
    self.width = width
    table = Tensor(uninitialized: [positions, width])
    let half = width / 2
    for position in 0..<positions {
      for i in 0..<half {
        let angle = Double(position) * pow(base, -2 * Double(i) / Double(width))
        table.pointer[position * width + i] = Float(cos(angle))
        table.pointer[position * width + half + i] = Float(sin(angle))
      }
    }
  }
}

extension Tape {
  /// Rows of a table by token id, plus one row a position where positions are learned.
  ///
  /// - Parameters:
  ///   - ids: B · T of them, each within the table.
  ///   - table: `[V, d]`.
  ///   - positions: `[context, d]`, the rows `first ..< first + T` are used.
  ///   - sequence: T.
  /// - Returns: `[B · T, d]`.
  package func embedding(
    _ ids: [Int32], table: Parameter, positions: Parameter? = nil, sequence: Int, first: Int = 0
  ) -> Tensor {
    let (table, positions) = (read(table), read(positions))
    let (rows, d) = (ids.count, table.shape[1])
    precondition(rows % sequence == 0, "embedding: \(rows) ids, T=\(sequence)")
    precondition(positions.map { first + sequence <= $0.shape[0] } ?? true, "embedding: position")
    let y = Tensor(uninitialized: [rows, d])
    timed("embedding") {
      let (py, pt, pp) = (y.pointer, table.value.pointer, positions?.value.pointer)
      engine.forRowTiles(rows) { r, _, _ in
        for row in r {
          let source = pt + Int(ids[row]) * d
          if let pp {
            mmoe_sum(py + row * d, source, pp + (first + row % sequence) * d, d)
          } else {
            (py + row * d).update(from: source, count: d)
          }
        }
      }
    }
    record("embedding", y) { [self] dY in
      let pd = dY.pointer
      if let positions, let dP = positions.gradientTarget() {
        if dP.beta == 0 { engine.fillZero(dP.pointer, count: positions.count) }
        let target = dP.pointer + first * d
        engine.forRowTiles(sequence * d, target: 2048) { r, _, _ in
          mmoe_column_sums(
            target + r.lowerBound, pd + r.lowerBound, rows / sequence, r.count, sequence * d, 1)
        }
      }
      guard let dT = table.gradientTarget() else { return }
      if dT.beta == 0 { engine.fillZero(dT.pointer, count: table.count) }
      // Threads take columns, not rows: a token that stands twice is added up in the order of the rows.
      engine.forRowTiles(d, target: max(16, d / 4)) { columns, _, _ in
        for row in 0..<rows {
          mmoe_add(
            dT.pointer + Int(ids[row]) * d + columns.lowerBound, pd + row * d + columns.lowerBound,
            columns.count)
        }
      }
    }
    return y
  }

  /// Turns the heads of Q and K by their positions, in place; the adjoint turns the gradient back.
  ///
  /// - Parameters:
  ///   - qkv: `[B · T, …]`, the first `heads` heads of each row are turned.
  ///   - sequence: T; first: the position of each sequence's first row.
  package func rotary(_ qkv: Tensor, angles: RotaryAngles, heads: Int, sequence: Int, first: Int = 0) {
    func turn(_ x: Tensor, _ sign: Float) {
      let (p, columns, table, width) = (x.pointer, x.columns, angles.table.pointer, angles.width)
      engine.forRowTiles(x.rows) { r, _, _ in
        for row in r {
          mmoe_rotary(
            p + row * columns, table + (first + row % sequence) * width, sign, heads, width)
        }
      }
    }
    timed("rotary") { turn(qkv, 1) }
    let slot = qkv.slot
    record("rotary", [qkv]) {
      if let gradient = slot.gradient { turn(gradient, -1) }
    }
  }
}

extension Engine {
  /// Sets `count` floats to zero over all threads.
  func fillZero(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    forChunks(count) { r in (pointer + r.lowerBound).update(repeating: 0, count: r.count) }
  }
}
