# SPDX-License-Identifier: Apache-2.0
# What CRuby does in bench/cache.py: floats and objects, strings, hashes and
# blocks, with nothing from its library.  Whole numbers and text come out.
class Body
  attr_accessor :x, :y, :z, :vx, :vy, :vz, :mass

  def initialize(i)
    @x, @y, @z = i * 1.5, 7.0 - i * i, 0.25 * i
    @vx, @vy, @vz = 0.01 * i, 0.02 - 0.003 * i, 0.001 * i
    @mass = 1.0 / (1 + i)
  end

  def pull(other, step)
    dx, dy, dz = x - other.x, y - other.y, z - other.z
    square = dx * dx + dy * dy + dz * dz + 0.01
    force = step / (square * Math.sqrt(square))
    @vx -= dx * other.mass * force
    @vy -= dy * other.mass * force
    @vz -= dz * other.mass * force
    other.vx += dx * mass * force
    other.vy += dy * mass * force
    other.vz += dz * mass * force
  end

  def move(step)
    @x += @vx * step
    @y += @vy * step
    @z += @vz * step
  end
end

def bodies(steps)
  all = Array.new(5) { |i| Body.new(i) }
  pairs = all.combination(2).to_a
  steps.times do
    pairs.each { |a, b| a.pull(b, 0.001) }
    all.each { |a| a.move(0.001) }
  end
  all.sum { |a| (a.x * 1_000_000).round }
end

def words(count)
  state = 1
  seen = Hash.new(0)
  text = +""
  count.times do |i|
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    word = "w#{(state >> 8) % 5003}".reverse
    seen[word] += 1
    text << word.upcase << (i % 9 == 0 ? "\n" : " ")
  end
  lines = text.lines.map { |line| line.strip.gsub(/7+/, "<seven>") }
  top = seen.sort_by { |word, times| [-times, word] }.first(3)
  [top, lines.count { |line| line.include?("seven") },
   lines.map(&:size).sum, seen.keys.map(&:to_sym).uniq.size].inspect
end

def primes(limit)
  sieve = Array.new(limit + 1, true)
  (2..Integer.sqrt(limit)).each do |i|
    (i * i).step(limit, i) { |j| sieve[j] = false } if sieve[i]
  end
  found = (2..limit).select { |i| sieve[i] }
  [found.size, found.each_slice(7).map(&:sum).max,
   found.last(50).inject(1) { |a, b| a * b } % 1_000_000_007].inspect
end

puts bodies(12_000), words(70_000), primes(300_000)
