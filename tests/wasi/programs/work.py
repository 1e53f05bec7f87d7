import collections, decimal, hashlib, json, os, re, struct, zlib
print(json.dumps({"a": [1, 2.5, None], "ü": "猫"}, sort_keys=True))
print(re.sub(r"(\w+)@(\w+)", r"\2 at \1", "me@here you@there"))
print(hashlib.sha256(b"x" * 100000).hexdigest())
print(zlib.crc32(zlib.decompress(zlib.compress(b"abc" * 10000))))
print(2 ** 521 % 1000000007, decimal.Decimal(1) / 7)
print(struct.pack("<dI", 0.1, 7).hex(), 0.1 + 0.2, 1e22, float("nan"))
print(collections.Counter("mississippi").most_common(2))
with open("/out.txt", "w") as out:
    out.writelines(f"line {i}\n" for i in range(2000))
print(sum(len(line) for line in open("/out.txt")), os.path.getsize("/out.txt"))
os.mkdir("/folder")
os.rename("/out.txt", "/folder/in.txt")
print(sorted(os.listdir("/folder")), os.path.exists("/out.txt"))
try:
    open("/none")
except OSError as e:
    print(type(e).__name__, e.errno)
def primes(n):
    sieve = bytearray([1]) * n
    for i in range(2, int(n ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, n, i)))
    return sum(sieve) - 2
print(primes(200000), sum(i * i for i in range(100000)))
class Tree:
    def __init__(self, n):
        self.kids = [Tree(n - 1) for _ in range(2)] if n else []
    def size(self):
        return 1 + sum(k.size() for k in self.kids)
print(Tree(12).size())
raise SystemExit(3)
