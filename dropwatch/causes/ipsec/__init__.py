"""What IPsec refuses, on the way in and on the way out."""
